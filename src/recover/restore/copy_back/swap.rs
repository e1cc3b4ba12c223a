//! Swap: the live table steps aside under another name, and a new one of its structure takes its place with
//! exactly the rows of a source. The old one is kept whole; swapping its rows back is the undo.

use super::{Mode, Script, catalogue, raise_sequences};
use crate::recover::{
    Result,
    restore::{
        closure::Name,
        diff::{ForeignKey, foreign_keys},
        side::{Table, common, converted, quoted},
        sql::tailed,
    },
    session::{Session, identifier, literal},
};

/// The statements that give `live` the rows of `source`, by a new table.
pub fn script(
    session: &Session,
    source: &Table,
    live: &Table,
    mode: Mode,
    at: &str,
) -> Result<Script> {
    let tail = format!("_before_{at}");
    let aside = Name { schema: live.name.schema.clone(), name: tailed(&live.name.name, &tail) };
    let mut script = Script::new(&live.name, &source.name, mode, aside.clone());
    if live.kind != 'r' || live.related {
        script.obstacles.push(format!(
            "'{}' is partitioned, a partition, or inherits: use --upsert",
            live.name
        ));
    }
    let keys = foreign_keys(session, live)?;
    let mut swap = Swap { session, live, aside: &aside, tail: &tail, script: &mut script };
    swap.lock(&keys);
    let made_after = swap.step_aside(&keys)?;
    swap.build(source)?;
    swap.script.statements.extend(made_after);
    swap.foreign_keys(source, &keys)?;
    swap.surroundings()?;
    let table = quoted(&live.name);
    for raise in raise_sequences(session, live, &table)? {
        script.add(raise);
    }
    script.note(format!("readers and writers of '{}' wait from the lock to the end", live.name));
    script.note(format!(
        "the present table stays, whole, as '{aside}'; drop it when nobody misses it"
    ));
    Ok(script)
}

struct Swap<'a> {
    session: &'a Session,
    live: &'a Table,
    aside: &'a Name,
    tail: &'a str,
    script: &'a mut Script,
}

impl Swap<'_> {
    fn texts(&self, sql: &str) -> Result<Vec<String>> {
        catalogue::texts(self.session, sql, self.live)
    }

    fn lock(&mut self, keys: &[ForeignKey]) {
        let live = quoted(&self.live.name);
        self.script.add(format!("LOCK TABLE {live} IN ACCESS EXCLUSIVE MODE"));
        for key in keys.iter().filter(|key| !key.own) {
            let other = if key.incoming { &key.of } else { &key.to };
            let lock = format!("LOCK TABLE {other} IN SHARE ROW EXCLUSIVE MODE");
            if !self.script.statements.contains(&lock) {
                self.script.add(lock);
                self.script.note(format!("writers of {other} wait, too: a foreign key ties it"));
            }
        }
    }

    /// The old table and what has names of its own in the schema give those names free. Returns the
    /// statements that make the same for the new one, to be run once it has its rows.
    fn step_aside(&mut self, keys: &[ForeignKey]) -> Result<Vec<String>> {
        let (live, aside) = (quoted(&self.live.name), quoted(self.aside));
        let schema = identifier(&self.live.name.schema);
        let mut after = Vec::new();
        for key in keys.iter().filter(|key| key.incoming) {
            let name = identifier(&key.name);
            self.script.add(format!("ALTER TABLE {} DROP CONSTRAINT {name}", key.of));
        }
        self.script.add(format!("ALTER TABLE {live} RENAME TO {}", identifier(&self.aside.name)));
        let sql = "SELECT conname::text, pg_get_constraintdef(oid) FROM pg_constraint \
                   WHERE conrelid = $1 AND contype IN ('p', 'u', 'x') ORDER BY contype, conname";
        for row in self.session.query(sql, &[&self.live.oid])? {
            let (name, definition): (String, String) = (row.get(0), row.get(1));
            let (old, new) = (identifier(&name), identifier(&tailed(&name, self.tail)));
            self.script.add(format!("ALTER TABLE {aside} RENAME CONSTRAINT {old} TO {new}"));
            after.push(format!("ALTER TABLE {live} ADD CONSTRAINT {old} {definition}"));
        }
        let sql = "SELECT c.relname::text, pg_get_indexdef(c.oid) FROM pg_index i \
                   JOIN pg_class c ON c.oid = indexrelid WHERE indrelid = $1 \
                   AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = c.oid AND conrelid = $1) ORDER BY 1";
        for row in self.session.query(sql, &[&self.live.oid])? {
            let (name, definition): (String, String) = (row.get(0), row.get(1));
            let new = identifier(&tailed(&name, self.tail));
            self.script.add(format!("ALTER INDEX {schema}.{} RENAME TO {new}", identifier(&name)));
            after.push(definition);
        }
        let sql = "SELECT stxnamespace::regnamespace::text, stxname::text, pg_get_statisticsobjdef(oid) \
                   FROM pg_statistic_ext WHERE stxrelid = $1 ORDER BY 2";
        for row in self.session.query(sql, &[&self.live.oid])? {
            let (schema, name, definition): (String, String, String) =
                (row.get(0), row.get(1), row.get(2));
            let new = identifier(&tailed(&name, self.tail));
            self.script
                .add(format!("ALTER STATISTICS {schema}.{} RENAME TO {new}", identifier(&name)));
            after.push(definition);
        }
        // An identity column gets a sequence of its own; it shall have the old one's name.
        let sql = "SELECT s.oid::regclass::text, s.relname::text FROM pg_depend d JOIN pg_class s ON s.oid = objid \
                   WHERE d.classid = 'pg_class'::regclass AND refclassid = 'pg_class'::regclass \
                   AND refobjid = $1 AND deptype = 'i' AND relkind = 'S'";
        for row in self.session.query(sql, &[&self.live.oid])? {
            let (sequence, name): (String, String) = (row.get(0), row.get(1));
            let new = identifier(&tailed(&name, self.tail));
            self.script.add(format!("ALTER SEQUENCE {sequence} RENAME TO {new}"));
        }
        Ok(after)
    }

    /// The new table with its rows.
    fn build(&mut self, source: &Table) -> Result<()> {
        let (live, aside) = (quoted(&self.live.name), quoted(self.aside));
        self.script.add(format!(
            "CREATE TABLE {live} (LIKE {aside} INCLUDING ALL EXCLUDING INDEXES EXCLUDING STATISTICS)"
        ));
        let sql = "SELECT relowner::regrole::text FROM pg_class WHERE oid = $1";
        for owner in self.texts(sql)? {
            self.script.add(format!("ALTER TABLE {live} OWNER TO {owner}"));
        }
        // The old table's rows are at hand under its new name.
        let from = if source.name == self.live.name { aside } else { quoted(&source.name) };
        let pairs = common(source, self.live);
        let columns: Vec<_> = pairs.iter().map(|(_, to)| identifier(&to.name)).collect();
        let values: Vec<_> = pairs.iter().map(|(from, to)| converted("s", from, to)).collect();
        self.script.add(format!(
            "INSERT INTO {live} ({}) OVERRIDING SYSTEM VALUE SELECT {} FROM {from} s",
            columns.join(", "),
            values.join(", ")
        ));
        Ok(())
    }

    /// Foreign keys of the new table and of others to it: not valid first, then validated, so that a key
    /// with orphans is told and not lost.
    fn foreign_keys(&mut self, source: &Table, keys: &[ForeignKey]) -> Result<()> {
        let orphans = crate::recover::restore::diff::orphans(self.session, source, self.live)?;
        for key in keys {
            // `pg_get_constraintdef` ends with NOT VALID where it is not.
            let definition = key.definition.trim_end_matches(" NOT VALID");
            let name = identifier(&key.name);
            let of = if key.incoming { key.of.clone() } else { quoted(&self.live.name) };
            self.script
                .add(format!("ALTER TABLE {of} ADD CONSTRAINT {name} {definition} NOT VALID"));
            let rows = orphans.iter().find(|o| o.constraint == key.name && o.of == key.of);
            match rows.map_or(0, |orphans| orphans.rows) {
                0 => self.script.add(format!("ALTER TABLE {of} VALIDATE CONSTRAINT {name}")),
                rows => self.script.note(format!(
                    "ATTENTION: {rows} rows break the foreign key '{}' of {}: it stays NOT VALID",
                    key.name, key.of
                )),
            }
        }
        Ok(())
    }

    /// Triggers, rules, policies, privileges, comment, owned sequences, publications, views; what cannot be
    /// moved is named.
    fn surroundings(&mut self) -> Result<()> {
        let live = quoted(&self.live.name);
        for trigger in catalogue::triggers(self.session, self.live)? {
            self.script.add(trigger.definition);
            let state = match trigger.enabled {
                'D' => "DISABLE",
                'A' => "ENABLE ALWAYS",
                'R' => "ENABLE REPLICA",
                _ => continue,
            };
            let name = identifier(&trigger.name);
            self.script.add(format!("ALTER TABLE {live} {state} TRIGGER {name}"));
        }
        let rules = "SELECT pg_get_ruledef(oid) FROM pg_rewrite WHERE ev_class = $1 AND ev_type <> '1' ORDER BY rulename";
        self.copy(rules)?;
        self.policies()?;
        self.privileges()?;
        for comment in self.texts("SELECT obj_description($1, 'pg_class') WHERE obj_description($1, 'pg_class') IS NOT NULL")? {
            self.script.add(format!("COMMENT ON TABLE {live} IS {}", literal(&comment)));
        }
        let owned = "SELECT format('ALTER SEQUENCE %s OWNED BY %s.%I', s.oid::regclass, $1::oid::regclass, attname) \
            FROM pg_depend d JOIN pg_class s ON s.oid = objid AND relkind = 'S' \
            JOIN pg_attribute a ON a.attrelid = $1 AND a.attnum = refobjsubid \
            WHERE d.classid = 'pg_class'::regclass AND refclassid = 'pg_class'::regclass AND refobjid = $1 AND deptype = 'a'";
        self.copy(owned)?;
        let identity =
            "SELECT reloptions::text FROM pg_class WHERE oid = $1 AND reloptions IS NOT NULL";
        for options in self.texts(identity)? {
            let options = options.trim_matches(['{', '}']).to_owned();
            self.script.add(format!("ALTER TABLE {live} SET ({options})"));
        }
        self.publications()?;
        self.views()?;
        self.attention()
    }

    fn copy(&mut self, sql: &str) -> Result<()> {
        let found = self.texts(sql)?;
        self.script.statements.extend(found);
        Ok(())
    }

    fn policies(&mut self) -> Result<()> {
        self.copy(
            "SELECT format('CREATE POLICY %I ON %s AS %s FOR %s TO %s%s%s', polname, polrelid::regclass, \
               CASE WHEN polpermissive THEN 'PERMISSIVE' ELSE 'RESTRICTIVE' END, \
               CASE polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN 'DELETE' ELSE 'ALL' END, \
               (SELECT string_agg(CASE r WHEN 0 THEN 'PUBLIC' ELSE r::regrole::text END, ', ') FROM unnest(polroles) r), \
               ' USING (' || pg_get_expr(polqual, polrelid) || ')', \
               ' WITH CHECK (' || pg_get_expr(polwithcheck, polrelid) || ')') \
             FROM pg_policy WHERE polrelid = $1 ORDER BY polname",
        )?;
        self.copy(
            "SELECT format('ALTER TABLE %s %s ROW LEVEL SECURITY', oid::regclass, w) FROM pg_class, \
             LATERAL (VALUES ('ENABLE', relrowsecurity), ('FORCE', relforcerowsecurity)) v(w, yes) WHERE oid = $1 AND yes",
        )
    }

    fn privileges(&mut self) -> Result<()> {
        // A new table gets the database's default privileges, which the old one need not have.
        self.copy(
            "SELECT DISTINCT format('REVOKE ALL ON %s FROM %s', $1::oid::regclass, \
               CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END) \
             FROM pg_class c, pg_default_acl, aclexplode(defaclacl) WHERE c.oid = $1 \
             AND defaclobjtype = 'r' AND defaclnamespace IN (0, relnamespace) AND grantee <> relowner ORDER BY 1",
        )?;
        self.copy(
            "SELECT format('GRANT %s ON %s TO %s%s', privilege_type, $1::oid::regclass, \
               CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END, \
               CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END) \
             FROM pg_class c, aclexplode(relacl) WHERE c.oid = $1 AND grantee <> relowner ORDER BY 1",
        )?;
        self.copy(
            "SELECT format('GRANT %s (%I) ON %s TO %s%s', privilege_type, attname, $1::oid::regclass, \
               CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END, \
               CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END) \
             FROM pg_attribute a, aclexplode(attacl) WHERE attrelid = $1 AND NOT attisdropped ORDER BY 1",
        )
    }

    fn publications(&mut self) -> Result<()> {
        // Row filters and column lists came with 15.
        let plain = if self.session.version >= 150_000 {
            "prqual IS NULL AND prattrs IS NULL"
        } else {
            "true"
        };
        let sql = format!(
            "SELECT pubname::text, {plain} FROM pg_publication_rel r JOIN pg_publication p ON p.oid = prpubid \
             WHERE prrelid = $1 ORDER BY 1"
        );
        for row in self.session.query(&sql, &[&self.live.oid])? {
            let (name, plain): (String, bool) = (row.get(0), row.get(1));
            if plain {
                let (name, live) = (identifier(&name), quoted(&self.live.name));
                let aside = quoted(self.aside);
                self.script.add(format!("ALTER PUBLICATION {name} DROP TABLE {aside}"));
                self.script.add(format!("ALTER PUBLICATION {name} ADD TABLE {live}"));
                self.script
                    .note(format!("ATTENTION: subscribers of {name} must REFRESH PUBLICATION"));
            } else {
                self.script.note(format!(
                    "ATTENTION: the publication '{name}' sends the old table with a filter: change it yourself"
                ));
            }
        }
        Ok(())
    }

    fn views(&mut self) -> Result<()> {
        let sql = "SELECT DISTINCT v.oid::regclass::text, v.relkind = 'v', pg_get_viewdef(v.oid), \
              coalesce(array_to_string(v.reloptions, ', '), '') \
            FROM pg_depend d JOIN pg_rewrite r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid \
            JOIN pg_class v ON v.oid = r.ev_class AND v.relkind IN ('v', 'm') \
            WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = $1 ORDER BY 1";
        for row in self.session.query(sql, &[&self.live.oid])? {
            let (name, plain): (String, bool) = (row.get(0), row.get(1));
            let (definition, options): (String, String) = (row.get(2), row.get(3));
            if plain {
                let options =
                    if options.is_empty() { options } else { format!(" WITH ({options})") };
                let definition = definition.trim_end_matches(';');
                self.script.add(format!("CREATE OR REPLACE VIEW {name}{options} AS {definition}"));
            } else {
                self.script.note(format!(
                    "ATTENTION: the materialized view {name} still reads the old table: make it anew"
                ));
            }
        }
        Ok(())
    }

    /// Whatever else hangs on the table or on its row type.
    fn attention(&mut self) -> Result<()> {
        let sql = "SELECT DISTINCT pg_describe_object(classid, objid, 0) FROM pg_depend \
            WHERE (refclassid = 'pg_class'::regclass AND refobjid = $1 \
                OR refclassid = 'pg_type'::regclass AND refobjid = (SELECT reltype FROM pg_class WHERE oid = $1)) \
              AND classid IN ('pg_proc'::regclass, 'pg_cast'::regclass, 'pg_event_trigger'::regclass) \
            ORDER BY 1";
        for what in self.texts(sql)? {
            self.script.note(format!("ATTENTION: {what} still means the old table"));
        }
        let replica =
            "SELECT relreplident::text FROM pg_class WHERE oid = $1 AND relreplident <> 'd'";
        if !self.texts(replica)?.is_empty() {
            self.script.note("ATTENTION: REPLICA IDENTITY is not the default one: set it again");
        }
        Ok(())
    }
}
