//! Cells to bytes: ratatui's crossterm backend over the frame writer, without its needless bytes.

use std::io::{self, Write};

use ratatui::{
    backend::{Backend, ClearType, CrosstermBackend, WindowSize},
    buffer::Cell,
    layout::{Position, Size},
};

use super::frame::FrameWriter;

/// Draws into a [`FrameWriter`]. An unchanged draw adds no byte (the plain backend sends 25), and the
/// terminal is never asked anything: its answers would mix with the keys.
#[derive(Debug)]
pub struct FrameBackend<W: Write> {
    writer: FrameWriter<W>,
    size: Size,
    cursor: Cursor,
    rests: Option<Position>,
}

/// Where the cursor is, as far as we know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cursor {
    Hidden,
    Somewhere,
    At(Position),
}

impl<W: Write> FrameBackend<W> {
    /// Draws on `out`, which is `size` large and whose cursor is hidden.
    pub fn new(out: W, size: (u16, u16)) -> Self {
        // crossterm 0.29 loses reverse video under NO_COLOR; our themes honour NO_COLOR themselves.
        crossterm::style::force_color_output(true);
        Self {
            writer: FrameWriter::new(out),
            size: size.into(),
            cursor: Cursor::Hidden,
            rests: None,
        }
    }

    /// The frames on their way.
    pub const fn frames(&self) -> &FrameWriter<W> {
        &self.writer
    }

    /// The frames on their way, to be sent.
    pub const fn frames_mut(&mut self) -> &mut FrameWriter<W> {
        &mut self.writer
    }

    /// The terminal has another size now; the next draw follows.
    pub fn set_size(&mut self, size: (u16, u16)) {
        self.size = size.into();
    }

    /// The cursor was hidden by somebody else, such as on entering the terminal again.
    pub const fn cursor_was_hidden(&mut self) {
        self.cursor = Cursor::Hidden;
        self.rests = None;
    }

    /// Lets the hidden cursor rest there after the frame.
    pub fn rest(&mut self, at: Position) -> io::Result<()> {
        if self.rests == Some(at) {
            return Ok(());
        }
        self.plain().set_cursor_position(at)?;
        self.rests = Some(at);
        Ok(())
    }

    fn plain(&mut self) -> CrosstermBackend<&mut Vec<u8>> {
        CrosstermBackend::new(self.writer.content())
    }
}

impl<W: Write> Backend for FrameBackend<W> {
    type Error = io::Error;

    fn draw<'a, I>(&mut self, content: I) -> io::Result<()>
    where
        I: Iterator<Item = (u16, u16, &'a Cell)>,
    {
        let mut content = content.peekable();
        if content.peek().is_none() {
            return Ok(());
        }
        if self.cursor != Cursor::Hidden {
            self.cursor = Cursor::Somewhere;
        }
        self.rests = None;
        self.plain().draw(content)
    }

    fn hide_cursor(&mut self) -> io::Result<()> {
        if self.cursor == Cursor::Hidden {
            return Ok(());
        }
        self.cursor = Cursor::Hidden;
        self.plain().hide_cursor()
    }

    fn show_cursor(&mut self) -> io::Result<()> {
        if self.cursor != Cursor::Hidden {
            return Ok(());
        }
        self.cursor = Cursor::Somewhere;
        self.plain().show_cursor()
    }

    fn get_cursor_position(&mut self) -> io::Result<Position> {
        match self.cursor {
            Cursor::At(position) => Ok(position),
            Cursor::Hidden | Cursor::Somewhere => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    fn set_cursor_position<P: Into<Position>>(&mut self, position: P) -> io::Result<()> {
        let position = position.into();
        if self.cursor == Cursor::At(position) {
            return Ok(());
        }
        if self.cursor != Cursor::Hidden {
            self.cursor = Cursor::At(position);
        }
        self.rests = None;
        self.plain().set_cursor_position(position)
    }

    fn clear(&mut self) -> io::Result<()> {
        self.clear_region(ClearType::All)
    }

    fn clear_region(&mut self, region: ClearType) -> io::Result<()> {
        self.plain().clear_region(region)
    }

    fn size(&self) -> io::Result<Size> {
        Ok(self.size)
    }

    fn window_size(&mut self) -> io::Result<WindowSize> {
        Ok(WindowSize { columns_rows: self.size, pixels: Size::ZERO })
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use ratatui::{Terminal, layout::Rect, style::Style};

    use super::*;

    fn terminal() -> Terminal<FrameBackend<Vec<u8>>> {
        Terminal::new(FrameBackend::new(Vec::new(), (20, 4))).expect("a backend that cannot fail")
    }

    fn draw(
        terminal: &mut Terminal<FrameBackend<Vec<u8>>>,
        text: &str,
        cursor: Option<(u16, u16)>,
    ) -> u64 {
        let before = terminal.backend().frames().counts().bytes;
        terminal
            .draw(|frame| {
                frame.buffer_mut().set_string(0, 0, text, Style::new().reversed());
                if let Some(at) = cursor {
                    frame.set_cursor_position(at);
                }
            })
            .expect("drawn");
        terminal.backend_mut().frames_mut().commit().expect("sent");
        terminal.backend().frames().counts().bytes - before
    }

    #[test]
    fn an_unchanged_draw_sends_nothing() {
        let mut terminal = terminal();
        assert!(draw(&mut terminal, "hello", None) > 0);
        assert_eq!(draw(&mut terminal, "hello", None), 0);
        assert!(draw(&mut terminal, "hallo", Some((3, 0))) > 0);
        assert_eq!(draw(&mut terminal, "hallo", Some((3, 0))), 0);
    }

    #[test]
    fn the_cursor_is_put_back_after_cells_changed() {
        let mut terminal = terminal();
        draw(&mut terminal, "hello", Some((3, 0)));
        let before = terminal.backend().frames().out().len();
        draw(&mut terminal, "hallo", Some((3, 0)));
        let sent =
            String::from_utf8_lossy(&terminal.backend().frames().out()[before..]).into_owned();
        assert!(sent.contains("\x1b[1;4H"), "{sent:?}");
    }

    #[test]
    fn the_hidden_cursor_rests_where_it_is_told() {
        let mut terminal = terminal();
        let mut rest_after = |text: &str| {
            draw_only(&mut terminal, text);
            terminal.backend_mut().rest(Position::new(2, 1)).expect("collected");
            let before = terminal.backend().frames().out().len();
            terminal.backend_mut().frames_mut().commit().expect("sent");
            String::from_utf8_lossy(&terminal.backend().frames().out()[before..]).into_owned()
        };
        assert!(rest_after("hello").ends_with("\x1b[2;3H\x1b[?2026l"));
        assert_eq!(rest_after("hello"), "");
        assert!(rest_after("hallo").ends_with("\x1b[2;3H\x1b[?2026l"));
    }

    fn draw_only(terminal: &mut Terminal<FrameBackend<Vec<u8>>>, text: &str) {
        let put = |frame: &mut ratatui::Frame<'_>| {
            frame.buffer_mut().set_string(0, 0, text, Style::new());
        };
        terminal.draw(put).expect("drawn");
    }

    #[test]
    fn a_repaint_sends_everything_again_and_asks_nothing() {
        let mut terminal = terminal();
        draw(&mut terminal, "hello", None);
        terminal.resize(Rect::new(0, 0, 20, 4)).expect("no question asked");
        let before = terminal.backend().frames().out().len();
        assert!(draw(&mut terminal, "hello", None) > 0);
        let all = terminal.backend().frames().out();
        let sent = String::from_utf8_lossy(&all[before..]).into_owned();
        assert!(sent.contains("\x1b[2J") && sent.contains("hello"), "{sent:?}");
        assert!(!String::from_utf8_lossy(all).contains("\x1b[6n"));
    }

    #[test]
    fn the_screen_follows_a_new_size() {
        let mut terminal = terminal();
        draw(&mut terminal, "hello", None);
        terminal.backend_mut().set_size((10, 2));
        draw(&mut terminal, "hello", None);
        assert_eq!(terminal.get_frame().area(), Rect::new(0, 0, 10, 2));
    }
}
