//! What runs in the tests' containers: one small deed for each word.
#![allow(unsafe_code)]
#![allow(clippy::undocumented_unsafe_blocks, reason = "plain system calls, and only one thread")]

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

static SIGPIPE_IGNORED: AtomicBool = AtomicBool::new(false);

/// Runs before Rust's start-up, which ignores SIGPIPE itself.
#[used]
#[unsafe(link_section = ".init_array")]
static LOOK_AT_SIGPIPE: extern "C" fn() = {
    extern "C" fn look() {
        let mut action = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
        let disposition = unsafe {
            libc::sigaction(libc::SIGPIPE, std::ptr::null(), action.as_mut_ptr());
            action.assume_init().sa_sigaction
        };
        SIGPIPE_IGNORED.store(disposition == libc::SIG_IGN, Ordering::Relaxed);
    }
    look
};

pub fn main(args: impl Iterator<Item = OsString>) -> ExitCode {
    let args: Vec<String> = args.map(|arg| arg.into_string().unwrap()).collect();
    let arg = |index: usize| args.get(index).map_or("", String::as_str);
    let number = |index: usize| arg(index).parse::<u64>().unwrap();
    match arg(0) {
        "exit" => return ExitCode::from(number(1) as u8),
        "print" => println!("{}", arg(1)),
        "cat" => match std::fs::read(arg(1)) {
            Ok(bytes) => std::io::stdout().write_all(&bytes).unwrap(),
            Err(error) => println!("error {}", error.raw_os_error().unwrap()),
        },
        "write" => match std::fs::write(arg(1), "x") {
            Ok(()) => println!("ok"),
            Err(error) => println!("error {}", error.raw_os_error().unwrap()),
        },
        "ls" => {
            let mut names: Vec<String> = std::fs::read_dir(arg(1))
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            names.sort();
            println!("{}", names.join(" "));
        }
        "link" => println!("{}", std::fs::read_link(arg(1)).unwrap().display()),
        "surroundings" => {
            println!("cwd {}", std::env::current_dir().unwrap().display());
            println!("args {:?}", args);
            for (name, value) in std::env::vars() {
                println!("env {name}={value}");
            }
            let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
            println!("host {}", host.trim());
        }
        "sigpipe" => println!("ignored {}", SIGPIPE_IGNORED.load(Ordering::Relaxed)),
        "terminal" => {
            let tty = |fd| unsafe { libc::isatty(fd) };
            println!("tty {} {} {}", tty(0), tty(1), tty(2));
        }
        "lines" => {
            for line in 0..number(1) {
                println!("{line:0width$}", width = number(2) as usize);
            }
        }
        "partial" => {
            let mut out = std::io::stdout();
            out.write_all(&vec![b'x'; 20_000]).unwrap();
            out.write_all(b"\nend without newline").unwrap();
            out.flush().unwrap();
            eprintln!("to stderr");
        }
        "eat" => {
            let mut eaten = Vec::new();
            for _ in 0..number(1) {
                let mut block = vec![0u8; 1 << 20];
                block.iter_mut().step_by(4096).for_each(|byte| *byte = 1);
                eaten.push(block);
            }
            println!("ate {}", eaten.len());
        }
        "ignore-term" => {
            unsafe { libc::signal(libc::SIGTERM, libc::SIG_IGN) };
            println!("ready");
            pause();
        }
        "pause" => {
            println!("ready");
            pause();
        }
        "handle-term" => {
            extern "C" fn handler(_: libc::c_int) {
                unsafe { libc::_exit(42) }
            }
            let handler = handler as extern "C" fn(libc::c_int) as usize;
            unsafe { libc::signal(libc::SIGTERM, handler) };
            if arg(1) != "twice" {
                println!("ready");
                pause();
            }
            if unsafe { libc::fork() } == 0 {
                pause();
            }
            // The child's end is this one's end.
            unsafe { libc::signal(libc::SIGTERM, libc::SIG_IGN) };
            println!("ready");
            let mut status = 0;
            unsafe { libc::wait(&mut status) };
            println!("child {}", libc::WEXITSTATUS(status));
        }
        "bomb" => return bomb(),
        "orphan" => {
            if unsafe { libc::fork() } == 0 {
                unsafe { libc::setsid() };
                pause();
            }
            println!("left one");
        }
        "calls" => calls(),
        "burn" => loop {
            std::hint::spin_loop();
        },
        "open-device" => {
            let c = std::ffi::CString::new(arg(1)).unwrap();
            let made = unsafe { libc::mknod(c.as_ptr(), libc::S_IFCHR | 0o600, 0x103) };
            println!("mknod {}", if made == 0 { 0 } else { errno() });
        }
        other => {
            eprintln!("no such payload {other:?}");
            return ExitCode::from(99);
        }
    }
    ExitCode::SUCCESS
}

fn pause() -> ! {
    loop {
        unsafe { libc::pause() };
    }
}

fn errno() -> i32 {
    std::io::Error::last_os_error().raw_os_error().unwrap()
}

/// Forks until the kernel refuses; says how far it came.
fn bomb() -> ExitCode {
    let mut children = 0;
    loop {
        match unsafe { libc::fork() } {
            0 => pause(),
            -1 => break println!("stopped after {children}: {}", errno()),
            _ => children += 1,
        }
        assert!(children < 10_000);
    }
    ExitCode::SUCCESS
}

/// The result of system calls that tell whether the filter is in force.
fn calls() {
    let say = |name: &str, result: libc::c_long| {
        println!("{name} {}", if result >= 0 { 0 } else { errno() });
    };
    unsafe {
        say("unshare", libc::syscall(libc::SYS_unshare, libc::CLONE_NEWUTS));
        say("keyctl", libc::syscall(libc::SYS_keyctl, 0, -3, 0));
        say("bpf", libc::syscall(libc::SYS_bpf, 0, 0, 0));
        say("clone3", libc::syscall(libc::SYS_clone3, 0, 0));
        say("future", libc::syscall(1999));
        say("vsock", i64::from(libc::socket(40, libc::SOCK_STREAM, 0)));
        say("udp", i64::from(libc::socket(libc::AF_INET, libc::SOCK_DGRAM, 0)));
        let new_user = libc::CLONE_NEWUSER | libc::SIGCHLD;
        say("clone-newuser", libc::syscall(libc::SYS_clone, new_user, 0, 0, 0, 0));
        let child = libc::fork();
        if child == 0 {
            libc::_exit(0);
        }
        say("fork", i64::from(child));
        libc::waitpid(child, std::ptr::null_mut(), 0);
    }
}
