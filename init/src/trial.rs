//! The flag by which firmware boots a trial once, on boards that keep it in no file:
//! `init/tryboot-module` shows it. A child of PID 1 raises it, last of all before the
//! restart, so that nothing that fails before leads into a trial. Never leaves it up
//! when the firmware does not confirm it.

use std::path::Path;

/// Where the kernel module shows the flag: `0` or `1`.
pub(crate) const FLAG: &str = "/sys/firmware/holm_tryboot/armed";

/// Raises the flag and reads it back; without that the restart boots the committed
/// slot.
pub(crate) fn arm() -> Result<(), String> {
    arm_at(Path::new(FLAG))
}

fn arm_at(flag: &Path) -> Result<(), String> {
    let raised = std::fs::write(flag, "1").and_then(|()| std::fs::read_to_string(flag));
    let reason = match raised {
        Ok(text) if text.trim() == "1" => return Ok(()),
        Ok(text) => format!("it reads back as {:?}", text.trim()),
        Err(error) => error.to_string(),
    };
    // It may be up all the same.
    let _ = std::fs::write(flag, "0");
    Err(format!("firmware does not confirm the flag for a trial: {reason}; no trial follows"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flag_that_reads_back_is_armed() {
        let folder = tempfile::tempdir().unwrap();
        let flag = folder.path().join("armed");
        std::fs::write(&flag, "0").unwrap();
        assert_eq!(arm_at(&flag), Ok(()));
        assert_eq!(std::fs::read_to_string(&flag).unwrap(), "1");
    }

    #[test]
    fn flag_that_does_not_read_back_is_taken_down_again() {
        // What is written there is gone.
        let error = arm_at(Path::new("/dev/null")).unwrap_err();
        assert!(error.contains("reads back as \"\""), "{error}");
        let error = arm_at(Path::new("/nonexistent/armed")).unwrap_err();
        assert!(error.contains("no trial follows"), "{error}");
    }
}
