//! Gives back the mapped pages of this program's code.
#![allow(unsafe_code)]

/// Unmaps the pages of code and constants that the boot has touched. They stay in
/// the page cache while there is room; what is needed again comes back from there.
pub(crate) fn release_code() {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    for (start, length) in maps.lines().filter_map(unwritten) {
        let address = start as *mut libc::c_void;
        // SAFETY: the range is a private mapping of this program's file that was
        // never writable, so its pages are those of the file and are read again
        // from there.
        unsafe { libc::madvise(address, length, libc::MADV_DONTNEED) };
    }
}

/// The range of a line of `/proc/self/maps` if nothing can have been written to
/// it: code, and the constants at the file's begin. What was relocated at the
/// start and then sealed is read-only too, but lies further back in the file.
fn unwritten(line: &str) -> Option<(usize, usize)> {
    let mut words = line.split_ascii_whitespace();
    let (range, access, offset) = (words.next()?, words.next()?, words.next()?);
    let file = words.nth(2)?;
    let is_code = access == "r-xp";
    let is_constant = access == "r--p" && offset.bytes().all(|digit| digit == b'0');
    if !file.starts_with('/') || !(is_code || is_constant) {
        return None;
    }
    let (start, end) = range.split_once('-')?;
    let start = usize::from_str_radix(start, 16).ok()?;
    let end = usize::from_str_radix(end, 16).ok()?;
    Some((start, end.checked_sub(start)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_nobody_can_have_written_is_released() {
        let code = "00274000-00400000 r-xp 00073000 fe:00 12 /usr/sbin/holm-init";
        assert_eq!(unwritten(code), Some((0x274000, 0x18c000)));
        let constants = "00200000-00274000 r--p 00000000 fe:00 12 /usr/sbin/holm-init";
        assert_eq!(unwritten(constants), Some((0x200000, 0x74000)));
        for kept in [
            "00400000-00420000 r--p 001ff000 fe:00 12 /usr/sbin/holm-init",
            "00420000-00424000 rw-p 0021e000 fe:00 12 /usr/sbin/holm-init",
            "7fff3000-7fff5000 r-xp 00000000 00:00 0 [vdso]",
            "01000000-01021000 rw-p 00000000 00:00 0 [heap]",
            "7f000000-7f021000 r-xp 00000000 00:00 0",
            "nonsense",
        ] {
            assert_eq!(unwritten(kept), None, "{kept}");
        }
    }

    #[test]
    fn program_runs_on_after_the_release() {
        release_code();
        assert_eq!(std::hint::black_box("still here").len(), 10);
    }
}
