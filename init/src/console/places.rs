//! Which terminals show the dashboard, and when. Pure, but for the reading of what
//! the kernel says about them.

use holm_config::{Appearance, Console};
use holm_console::Appears;
use std::fs;

/// A terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// Its name below `/dev`.
    pub(crate) name: String,
    /// When the dashboard appears.
    pub(crate) appears: Appears,
    /// Whether it is a screen with a keyboard, not a line to elsewhere.
    pub(crate) is_screen: bool,
}

/// What the kernel says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Kernel {
    /// `/proc/consoles`
    pub(crate) consoles: String,
    /// `/sys/class/tty/tty0/active`: the virtual terminal in front.
    pub(crate) in_front: String,
    /// Names of the drivers that draw the virtual terminals now.
    pub(crate) drawn_by: Vec<String>,
}

impl Kernel {
    /// Asks it.
    pub(crate) fn read() -> Self {
        let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let drivers = fs::read_dir("/sys/class/vtconsole").into_iter().flatten().flatten();
        let drawn_by = drivers.filter_map(|entry| {
            let bound = fs::read_to_string(entry.path().join("bind")).ok()?;
            (bound.trim() == "1").then(|| fs::read_to_string(entry.path().join("name")).ok())?
        });
        Self {
            consoles: text("/proc/consoles"),
            in_front: text("/sys/class/tty/tty0/active"),
            drawn_by: drawn_by.collect(),
        }
    }

    /// Whether anybody can see a virtual terminal.
    fn has_screen(&self) -> bool {
        self.drawn_by.iter().any(|name| !name.contains("dummy"))
    }
}

/// The terminals that the document and the kernel together give.
pub(crate) fn choose(wanted: &Console, kernel: &Kernel) -> Vec<Place> {
    let mut names: Vec<String> = if wanted.terminals.is_empty() {
        let consoles = kernel.consoles.lines().filter_map(|line| line.split_whitespace().next());
        consoles.map(|name| in_front(name, kernel)).collect()
    } else {
        wanted.terminals.clone()
    };
    names.dedup();
    let mut places: Vec<Place> = Vec::new();
    for name in names {
        let is_screen = is_virtual(&name);
        let appearance = if is_screen { wanted.screen } else { wanted.serial };
        let appears = match appearance {
            Appearance::WhenReady => Appears::WhenReady,
            Appearance::OnKey => Appears::OnKey,
            Appearance::Off => continue,
        };
        let is_useful = !is_screen || kernel.has_screen();
        if is_useful && places.iter().all(|place| place.name != name) {
            places.push(Place { name, appears, is_screen });
        }
    }
    places
}

/// `tty0` is whichever virtual terminal is in front.
fn in_front(name: &str, kernel: &Kernel) -> String {
    let front = kernel.in_front.trim();
    if name == "tty0" && is_virtual(front) { front.to_owned() } else { name.to_owned() }
}

/// `tty1` is one, `ttyS1` is not.
fn is_virtual(name: &str) -> bool {
    let digits = name.strip_prefix("tty").unwrap_or_default();
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kernel(drawn_by: &str) -> Kernel {
        Kernel {
            consoles: "tty0                 -WU (EC  p  )    4:1\n\
                       ttyS0                -W- (E   p a)    4:64\n"
                .into(),
            in_front: "tty1\n".into(),
            drawn_by: vec![drawn_by.into()],
        }
    }

    fn names(places: &[Place]) -> Vec<&str> {
        places.iter().map(|place| place.name.as_str()).collect()
    }

    #[test]
    fn consoles_of_the_kernel_are_taken() {
        let places = choose(&Console::default(), &kernel("(M) frame buffer device\n"));
        assert_eq!(names(&places), ["tty1", "ttyS0"]);
        assert_eq!((places[0].appears, places[0].is_screen), (Appears::WhenReady, true));
        assert_eq!((places[1].appears, places[1].is_screen), (Appears::OnKey, false));
    }

    #[test]
    fn screen_that_nobody_can_see_is_left_out() {
        let places = choose(&Console::default(), &kernel("(S) dummy device\n"));
        assert_eq!(names(&places), ["ttyS0"]);
    }

    #[test]
    fn document_chooses_and_switches_off() {
        let wanted = Console {
            terminals: vec!["ttyAMA0".into(), "tty2".into(), "tty2".into()],
            serial: Appearance::WhenReady,
            ..Console::default()
        };
        let places = choose(&wanted, &kernel("(S) VGA+\n"));
        assert_eq!(names(&places), ["ttyAMA0", "tty2"]);
        assert_eq!(places[0].appears, Appears::WhenReady);
        let off = Console { screen: Appearance::Off, ..Console::default() };
        assert_eq!(names(&choose(&off, &kernel("(S) VGA+\n"))), ["ttyS0"]);
    }
}
