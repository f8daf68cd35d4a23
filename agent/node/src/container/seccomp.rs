//! The default seccomp profile: which system calls a container may make, by its capabilities.
//!
//! Allowed is what the container engines' default allows. What the kernel would need a capability
//! for, and what is obsolete or reaches outside a container, fails with `EPERM`. Everything else,
//! calls of kernels to come above all, fails with `ENOSYS`, so that the C libraries fall back to
//! what they used before. Pure data: nothing here loads a filter.

use oci_spec::OciSpecError;
use oci_spec::runtime::{
    Arch, Capability, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompArgBuilder,
    LinuxSeccompBuilder, LinuxSeccompOperator, LinuxSyscall, LinuxSyscallBuilder,
};

const EPERM: u32 = 1;
const ENOSYS: u32 = 38;
const AF_VSOCK: u64 = 40;
/// `CLONE_NEW{NS,CGROUP,UTS,IPC,USER,PID,NET}`.
const CLONE_NAMESPACES: [u64; 7] =
    [0x2_0000, 0x200_0000, 0x400_0000, 0x800_0000, 0x1000_0000, 0x2000_0000, 0x4000_0000];
/// `PER_LINUX`, `PER_LINUX32`, each also with `UNAME26`, and the query.
const PERSONALITIES: [u64; 5] = [0x0, 0x8, 0x2_0000, 0x2_0008, 0xffff_ffff];

/// Names that an architecture or an older libseccomp lacks are passed over when it is loaded.
const ALLOWED: &str = "
_llseek _newselect accept accept4 access adjtimex alarm arch_prctl arm_fadvise64_64
arm_sync_file_range bind breakpoint brk cachestat cacheflush capget capset chdir chmod chown chown32
clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64
clock_nanosleep clock_nanosleep_time64 close close_range connect copy_file_range creat dup dup2 dup3
epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait
epoll_wait_old eventfd eventfd2 execve execveat exit exit_group faccessat faccessat2 fadvise64
fadvise64_64 fallocate fanotify_mark fchdir fchmod fchmodat fchmodat2 fchown fchown32 fchownat fcntl
fcntl64 fdatasync fgetxattr flistxattr flock fork fremovexattr fsetxattr fstat fstat64 fstatat64
fstatfs fstatfs64 fsync ftruncate ftruncate64 futex futex_requeue futex_time64 futex_wait
futex_waitv futex_wake futimesat get_robust_list get_thread_area getcpu getcwd getdents getdents64
getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32 getitimer getpeername
getpgid getpgrp getpid getppid getpriority getrandom getresgid getresgid32 getresuid getresuid32
getrlimit getrusage getsid getsockname getsockopt gettid gettimeofday getuid getuid32 getxattr
getxattrat inotify_add_watch inotify_init inotify_init1 inotify_rm_watch io_cancel io_destroy
io_getevents io_pgetevents io_pgetevents_time64 io_setup io_submit ioctl ioprio_get ioprio_set ipc
kill landlock_add_rule landlock_create_ruleset landlock_restrict_self lchown lchown32 lgetxattr link
linkat listen listmount listxattr listxattrat llistxattr lremovexattr lseek lsetxattr lstat lstat64
madvise map_shadow_stack membarrier memfd_create memfd_secret mincore mkdir mkdirat mknod mknodat
mlock mlock2 mlockall mmap mmap2 modify_ldt mprotect mq_getsetattr mq_notify mq_open mq_timedreceive
mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink mremap mseal msgctl msgget msgrcv
msgsnd msync munlock munlockall munmap name_to_handle_at nanosleep newfstatat open openat openat2
pause pidfd_open pidfd_send_signal pipe pipe2 pkey_alloc pkey_free pkey_mprotect poll ppoll
ppoll_time64 prctl pread64 preadv preadv2 prlimit64 process_mrelease process_vm_readv
process_vm_writev pselect6 pselect6_time64 ptrace pwrite64 pwritev pwritev2 read readahead readlink
readlinkat readv recv recvfrom recvmmsg recvmmsg_time64 recvmsg remap_file_pages removexattr
removexattrat rename renameat renameat2 restart_syscall riscv_hwprobe rmdir rseq rt_sigaction
rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait
rt_sigtimedwait_time64 rt_tgsigqueueinfo sched_get_priority_max sched_get_priority_min
sched_getaffinity sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval
sched_rr_get_interval_time64 sched_setaffinity sched_setattr sched_setparam sched_setscheduler
sched_yield seccomp select semctl semget semop semtimedop semtimedop_time64 send sendfile sendfile64
sendmmsg sendmsg sendto set_robust_list set_thread_area set_tid_address set_tls setfsgid setfsgid32
setfsuid setfsuid32 setgid setgid32 setgroups setgroups32 setitimer setpgid setpriority setregid
setregid32 setresgid setresgid32 setresuid setresuid32 setreuid setreuid32 setrlimit setsid
setsockopt setuid setuid32 setxattr setxattrat shmat shmctl shmdt shmget shutdown sigaltstack
signalfd signalfd4 sigprocmask sigreturn socketcall socketpair splice stat stat64 statfs statfs64
statmount statx symlink symlinkat sync sync_file_range sync_file_range2 syncfs sysinfo tee tgkill
time timer_create timer_delete timer_getoverrun timer_gettime timer_gettime64 timer_settime
timer_settime64 timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64
times tkill truncate truncate64 ugetrlimit umask uname unlink unlinkat uretprobe utime utimensat
utimensat_time64 utimes vfork vmsplice wait4 waitid waitpid write writev";

/// Allowed to who holds the capability, `EPERM` for everyone else.
const BY_CAPABILITY: &[(Capability, &str)] = &[
    (Capability::Bpf, "bpf"),
    (Capability::DacReadSearch, "open_by_handle_at"),
    (Capability::Perfmon, "perf_event_open"),
    (
        Capability::SysAdmin,
        "bpf fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie lsm_get_self_attr \
         lsm_list_modules lsm_set_self_attr mount mount_setattr move_mount open_tree \
         perf_event_open quotactl quotactl_fd setdomainname sethostname setns syslog umount \
         umount2 unshare",
    ),
    (Capability::SysBoot, "reboot"),
    (Capability::SysChroot, "chroot"),
    (Capability::SysModule, "delete_module finit_module init_module"),
    (Capability::SysNice, "get_mempolicy mbind set_mempolicy set_mempolicy_home_node"),
    (Capability::SysPacct, "acct"),
    (Capability::SysPtrace, "kcmp pidfd_getfd process_madvise"),
    (Capability::SysRawio, "ioperm iopl"),
    (Capability::SysTime, "clock_settime clock_settime64 settimeofday stime"),
    (Capability::SysTtyConfig, "vhangup"),
    (Capability::Syslog, "syslog"),
];

/// `EPERM` for everyone: not confined by namespaces, or without a use in a container.
const DENIED: &str = "
_sysctl add_key create_module get_kernel_syms io_uring_enter io_uring_register io_uring_setup
kexec_file_load kexec_load keyctl migrate_pages move_pages nfsservctl pivot_root query_module
request_key swapoff swapon sysfs uselib userfaultfd ustat vm86 vm86old";

/// The profile for a process with these capabilities, on a machine of this architecture
/// (`std::env::consts::ARCH`).
///
/// # Errors
/// Never with the data of this file; the type belongs to the builders.
pub fn default_profile(
    capabilities: &[Capability],
    architecture: &str,
) -> Result<LinuxSeccomp, OciSpecError> {
    let admin = capabilities.contains(&Capability::SysAdmin);
    let mut allowed: Vec<&str> = ALLOWED.split_whitespace().collect();
    for (capability, names) in BY_CAPABILITY {
        if capabilities.contains(capability) {
            allowed.extend(names.split_whitespace());
        }
    }
    if admin {
        allowed.extend(["clone", "clone3"]);
    }
    allowed.sort_unstable();
    allowed.dedup();
    let mut denied: Vec<&str> = BY_CAPABILITY
        .iter()
        .flat_map(|(_, names)| names.split_whitespace())
        .chain(DENIED.split_whitespace())
        .filter(|name| allowed.binary_search(name).is_err())
        .collect();
    denied.sort_unstable();
    denied.dedup();

    let equal = |value| argument(LinuxSeccompOperator::ScmpCmpEq, value, None);
    let mut rules = vec![
        allow(&allowed, None)?,
        deny(&denied, None)?,
        deny(&["socket"], Some(equal(AF_VSOCK)?))?,
        allow(&["socket"], Some(argument(LinuxSeccompOperator::ScmpCmpNe, AF_VSOCK, None)?))?,
    ];
    for value in PERSONALITIES {
        rules.push(allow(&["personality"], Some(equal(value)?))?);
    }
    if !admin {
        // libcontainer 0.7 takes `value` as what is compared and `valueTwo` as the mask, the reverse
        // of the specification. Read as specified the rules would never match: clone would not
        // exist, and the VM tests see it.
        let masked =
            |mask, value| argument(LinuxSeccompOperator::ScmpCmpMaskedEq, value, Some(mask));
        rules.push(allow(&["clone"], Some(masked(CLONE_NAMESPACES.iter().sum(), 0)?))?);
        for flag in CLONE_NAMESPACES {
            rules.push(deny(&["clone"], Some(masked(flag, flag)?))?);
        }
        // clone3 keeps its flags in memory, where no filter sees them. It is left to the default
        // action, so that C libraries fall back to clone.
    }
    LinuxSeccompBuilder::default()
        .default_action(LinuxSeccompAction::ScmpActErrno)
        .default_errno_ret(ENOSYS)
        .architectures(architectures(architecture))
        .syscalls(rules)
        .build()
}

/// The machine's own and the 32-bit one that it also runs.
fn architectures(architecture: &str) -> Vec<Arch> {
    match architecture {
        "x86_64" => vec![Arch::ScmpArchX86_64, Arch::ScmpArchX86],
        "aarch64" => vec![Arch::ScmpArchAarch64, Arch::ScmpArchArm],
        _ => vec![Arch::ScmpArchNative],
    }
}

fn allow(names: &[&str], argument: Option<LinuxSeccompArg>) -> Result<LinuxSyscall, OciSpecError> {
    rule(LinuxSyscallBuilder::default().action(LinuxSeccompAction::ScmpActAllow), names, argument)
}

fn deny(names: &[&str], argument: Option<LinuxSeccompArg>) -> Result<LinuxSyscall, OciSpecError> {
    let builder = LinuxSyscallBuilder::default().action(LinuxSeccompAction::ScmpActErrno);
    rule(builder.errno_ret(EPERM), names, argument)
}

fn rule(
    builder: LinuxSyscallBuilder,
    names: &[&str],
    argument: Option<LinuxSeccompArg>,
) -> Result<LinuxSyscall, OciSpecError> {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    match argument {
        Some(argument) => builder.names(names).args(vec![argument]).build(),
        None => builder.names(names).build(),
    }
}

/// A condition on the first argument.
fn argument(
    op: LinuxSeccompOperator,
    value: u64,
    value_two: Option<u64>,
) -> Result<LinuxSeccompArg, OciSpecError> {
    let argument = LinuxSeccompArgBuilder::default().index(0usize).op(op).value(value);
    match value_two {
        Some(value_two) => argument.value_two(value_two).build(),
        None => argument.build(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the profile does with a call whose first argument meets no condition.
    fn verdict(profile: &LinuxSeccomp, name: &str) -> (LinuxSeccompAction, Option<u32>) {
        profile
            .syscalls()
            .iter()
            .flatten()
            .find(|rule| rule.args().is_none() && rule.names().iter().any(|n| n == name))
            .map_or((profile.default_action(), profile.default_errno_ret()), |rule| {
                (rule.action(), rule.errno_ret())
            })
    }

    const ALLOW: (LinuxSeccompAction, Option<u32>) = (LinuxSeccompAction::ScmpActAllow, None);
    const NOT_PERMITTED: (LinuxSeccompAction, Option<u32>) =
        (LinuxSeccompAction::ScmpActErrno, Some(EPERM));
    const NO_SUCH_CALL: (LinuxSeccompAction, Option<u32>) =
        (LinuxSeccompAction::ScmpActErrno, Some(ENOSYS));

    #[test]
    fn ordinary_calls_pass_and_dangerous_ones_are_not_permitted() {
        let profile = default_profile(&[], "x86_64").unwrap();
        for name in ["read", "execve", "futex", "openat", "ptrace"] {
            assert_eq!(verdict(&profile, name), ALLOW, "{name}");
        }
        for name in ["mount", "unshare", "bpf", "kexec_load", "reboot", "keyctl", "io_uring_setup"]
        {
            assert_eq!(verdict(&profile, name), NOT_PERMITTED, "{name}");
        }
    }

    #[test]
    fn calls_of_future_kernels_do_not_exist() {
        let profile = default_profile(&[], "x86_64").unwrap();
        for name in ["a_call_of_2031", "clone3"] {
            assert_eq!(verdict(&profile, name), NO_SUCH_CALL, "{name}");
        }
    }

    #[test]
    fn a_capability_opens_its_calls_and_no_other() {
        let profile = default_profile(&[Capability::SysTime], "x86_64").unwrap();
        assert_eq!(verdict(&profile, "clock_settime"), ALLOW);
        assert_eq!(verdict(&profile, "mount"), NOT_PERMITTED);
        let profile = default_profile(&[Capability::SysAdmin], "x86_64").unwrap();
        for name in ["mount", "clone", "clone3", "unshare"] {
            assert_eq!(verdict(&profile, name), ALLOW, "{name}");
        }
        assert_eq!(verdict(&profile, "reboot"), NOT_PERMITTED);
    }

    #[test]
    fn no_call_is_both_allowed_and_denied() {
        for capabilities in [&[][..], &[Capability::Bpf], &[Capability::SysAdmin]] {
            let profile = default_profile(capabilities, "aarch64").unwrap();
            let mut names: Vec<&String> = profile
                .syscalls()
                .iter()
                .flatten()
                .filter(|rule| rule.args().is_none())
                .flat_map(|rule| rule.names())
                .collect();
            let before = names.len();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), before);
        }
    }

    #[test]
    fn clone_is_allowed_only_without_new_namespaces() {
        let profile = default_profile(&[], "x86_64").unwrap();
        let rules = profile.syscalls().as_ref().unwrap();
        let mut clone = rules.iter().filter(|rule| rule.names() == &["clone"]);
        let first = clone.next().unwrap();
        assert_eq!(first.action(), LinuxSeccompAction::ScmpActAllow);
        let argument = first.args().as_ref().unwrap()[0];
        assert_eq!(argument.op(), LinuxSeccompOperator::ScmpCmpMaskedEq);
        assert_eq!((argument.value(), argument.value_two()), (0, Some(0x7e02_0000)));
        assert_eq!(clone.filter(|rule| rule.errno_ret() == Some(EPERM)).count(), 7);
    }

    #[test]
    fn each_architecture_brings_its_32_bit_one() {
        assert_eq!(architectures("aarch64"), [Arch::ScmpArchAarch64, Arch::ScmpArchArm]);
        assert_eq!(architectures("riscv64"), [Arch::ScmpArchNative]);
    }
}
