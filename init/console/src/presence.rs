//! When a terminal shows the dashboard and when the kernel's messages. A screen
//! is there for whoever walks by; a serial line is somebody's log first.

use std::time::Duration;

/// A serial line goes back to messages after this long without a key: whoever
/// looked may have gone, and a recorder takes their place.
const FORGOTTEN: Duration = Duration::from_secs(600);

/// What makes the dashboard appear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Appears {
    /// The node is ready, or a key.
    WhenReady,
    /// The key Enter only.
    OnKey,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The node is ready.
    Ready,
    /// Enter was pressed.
    Enter,
    /// Another key was pressed.
    OtherKey,
    /// The key to leave was pressed.
    Leave,
    /// Time has passed.
    Tick,
    /// The node goes down, or the program ends.
    End,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Nothing.
    Stay,
    /// Take the terminal.
    Show,
    /// Give it back.
    Hide,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Not shown yet; the boot's messages are.
    Waiting,
    /// Shown; the moment of the last key.
    Shown(Duration),
    /// Given back, until Enter.
    Left,
}

/// One terminal.
///
/// | place   | event                          | next    | step |
/// |---------|--------------------------------|---------|------|
/// | waiting | ready, where it appears then   | shown   | show |
/// | waiting | Enter                          | shown   | show |
/// | shown   | leave, end                     | left    | hide |
/// | shown   | no key for long, on key only   | waiting | hide |
/// | left    | Enter                          | shown   | show |
#[derive(Debug, Clone, Copy)]
pub struct Presence {
    appears: Appears,
    place: Place,
}

impl Presence {
    /// A terminal that does not show the dashboard yet.
    pub fn new(appears: Appears) -> Self {
        Self { appears, place: Place::Waiting }
    }

    /// Takes in what happened at `now`.
    pub fn step(&mut self, event: Event, now: Duration) -> Step {
        let (place, step) = match (self.place, event) {
            (Place::Waiting, Event::Ready) if self.appears == Appears::WhenReady => {
                (Place::Shown(now), Step::Show)
            }
            (Place::Waiting | Place::Left, Event::Enter) => (Place::Shown(now), Step::Show),
            (Place::Shown(_), Event::Leave | Event::End) => (Place::Left, Step::Hide),
            (Place::Shown(_), Event::Enter | Event::OtherKey) => (Place::Shown(now), Step::Stay),
            (Place::Shown(since), Event::Tick)
                if self.appears == Appears::OnKey && now >= since + FORGOTTEN =>
            {
                (Place::Waiting, Step::Hide)
            }
            (place, _) => (place, Step::Stay),
        };
        self.place = place;
        step
    }

    /// Whether it shows the dashboard.
    pub fn is_shown(&self) -> bool {
        matches!(self.place, Place::Shown(_))
    }

    /// Whether it waits for the node to be ready.
    pub fn awaits_ready(&self) -> bool {
        self.place == Place::Waiting && self.appears == Appears::WhenReady
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn screen_shows_the_dashboard_when_the_node_is_ready() {
        let mut screen = Presence::new(Appears::WhenReady);
        assert!(screen.awaits_ready());
        assert_eq!(screen.step(Event::Tick, at(1)), Step::Stay);
        assert_eq!(screen.step(Event::Ready, at(2)), Step::Show);
        assert_eq!(screen.step(Event::Ready, at(3)), Step::Stay);
        assert_eq!(screen.step(Event::Tick, at(9999)), Step::Stay, "a screen stays");
    }

    #[test]
    fn screen_that_was_left_stays_left_until_a_key() {
        let mut screen = Presence::new(Appears::WhenReady);
        screen.step(Event::Ready, at(1));
        assert_eq!(screen.step(Event::Leave, at(2)), Step::Hide);
        assert_eq!(screen.step(Event::Ready, at(3)), Step::Stay);
        assert_eq!(screen.step(Event::OtherKey, at(3)), Step::Stay);
        assert_eq!(screen.step(Event::Enter, at(4)), Step::Show);
    }

    #[test]
    fn serial_line_waits_for_enter_and_forgets_who_has_gone() {
        let mut line = Presence::new(Appears::OnKey);
        assert_eq!(line.step(Event::Ready, at(1)), Step::Stay);
        assert_eq!(line.step(Event::OtherKey, at(2)), Step::Stay, "noise is no key");
        assert_eq!(line.step(Event::Enter, at(3)), Step::Show);
        line.step(Event::OtherKey, at(100));
        assert_eq!(line.step(Event::Tick, at(699)), Step::Stay);
        assert_eq!(line.step(Event::Tick, at(700)), Step::Hide);
        assert_eq!(line.step(Event::Enter, at(800)), Step::Show);
    }

    #[test]
    fn end_gives_the_terminal_back() {
        let mut screen = Presence::new(Appears::WhenReady);
        assert_eq!(screen.step(Event::End, at(0)), Step::Stay);
        screen.step(Event::Ready, at(1));
        assert_eq!(screen.step(Event::End, at(2)), Step::Hide);
    }
}
