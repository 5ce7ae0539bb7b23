//! Runs the real, unchanged binary and stops it at one chosen change of the disk: by `kill -9`, or by an error in its place.
//!
//! Every system call that changes something below certain folders is a point (ptrace(2)), whichever thread or library makes it. So
//! the points are neither more nor fewer than those at which a machine could fail.

use std::collections::HashSet;
use std::fs::{self, File};
use std::os::fd::RawFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::errno::Errno;
use nix::libc;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

/// What happens at a point, counted from 1 over the whole process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// The process is killed before the call has an effect.
    KillAt(usize),
    /// The call has no effect and fails.
    FailAt(usize, Errno),
}

/// How a traced process ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// `None` when it was killed.
    pub(crate) code: Option<i32>,
    /// The system calls that changed the disk, in order.
    pub(crate) points: Vec<String>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs `command`, whose output is taken, to its end. Points are the changes below `folders`.
#[expect(clippy::zombie_processes, reason = "the tracer waits for it")]
pub(crate) fn run(command: &Command, folders: &[PathBuf], fault: Fault) -> Ended {
    let output = tempfile::tempdir().unwrap();
    let (stdout, stderr) = (output.path().join("stdout"), output.path().join("stderr"));
    let child = stopped(command)
        .stdin(Stdio::null())
        .stdout(File::create(&stdout).unwrap())
        .stderr(File::create(&stderr).unwrap())
        .spawn()
        .unwrap();
    let child = Pid::from_raw(i32::try_from(child.id()).unwrap());
    let mut tracer =
        Tracer { child, folders: folders.to_vec(), fault, points: Vec::new(), calling: HashSet::new(), failing: None };
    let code = tracer.trace();
    let read = |path: &Path| String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned();
    Ended { code, points: tracer.points, stdout: read(&stdout), stderr: read(&stderr) }
}

/// Returns `command`, stopped before it begins.
fn stopped(command: &Command) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", "kill -STOP $$; exec \"$@\"", "sh"]).arg(command.get_program()).args(command.get_args());
    shell.env_clear().envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    if let Some(folder) = command.get_current_dir() {
        shell.current_dir(folder);
    }
    shell
}

struct Tracer {
    child: Pid,
    folders: Vec<PathBuf>,
    fault: Fault,
    points: Vec<String>,
    /// The threads that are in a system call.
    calling: HashSet<Pid>,
    /// The thread whose call is to fail, until it has.
    failing: Option<(Pid, Errno)>,
}

impl Tracer {
    fn trace(&mut self) -> Option<i32> {
        assert!(matches!(waitpid(self.child, Some(WaitPidFlag::WUNTRACED)).unwrap(), WaitStatus::Stopped(..)));
        let options = Options::PTRACE_O_TRACESYSGOOD | Options::PTRACE_O_TRACECLONE | Options::PTRACE_O_EXITKILL;
        ptrace::seize(self.child, options).unwrap();
        kill(self.child, Signal::SIGCONT).unwrap();
        loop {
            let (thread, signal) = match waitpid(None, Some(WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD)).unwrap() {
                WaitStatus::Exited(pid, code) if pid == self.child => return Some(code),
                WaitStatus::Signaled(pid, ..) if pid == self.child => return None,
                WaitStatus::PtraceSyscall(thread) => {
                    self.syscall(thread);
                    (thread, None)
                }
                WaitStatus::PtraceEvent(thread, ..) => (thread, None),
                WaitStatus::Stopped(thread, signal) => (thread, Some(signal)),
                _ => continue,
            };
            // A thread that was killed in the meantime has nothing left to do.
            let _ = ptrace::syscall(thread, signal);
        }
    }

    /// A thread stops once when it calls and once when the call is over.
    fn syscall(&mut self, thread: Pid) {
        if self.calling.remove(&thread) {
            self.leave(thread);
        } else {
            self.calling.insert(thread);
            self.enter(thread);
        }
    }

    fn enter(&mut self, thread: Pid) {
        let Ok(mut registers) = ptrace::getregs(thread) else { return };
        let arguments = [registers.rdi, registers.rsi, registers.rdx];
        let Some(name) = self.change(thread, registers.orig_rax.cast_signed(), arguments) else { return };
        self.points.push(name.to_owned());
        match self.fault {
            Fault::KillAt(at) if at == self.points.len() => kill(self.child, Signal::SIGKILL).unwrap(),
            Fault::FailAt(at, error) if at == self.points.len() => {
                // No call has this number.
                registers.orig_rax = u64::MAX;
                ptrace::setregs(thread, registers).unwrap();
                self.failing = Some((thread, error));
            }
            _ => {}
        }
    }

    fn leave(&mut self, thread: Pid) {
        if let Some((_, error)) = self.failing.take_if(|(failing, _)| *failing == thread) {
            let mut registers = ptrace::getregs(thread).unwrap();
            registers.rax = i64::from(-(error as i32)).cast_unsigned();
            ptrace::setregs(thread, registers).unwrap();
        }
    }

    /// Returns the name of a call that changes something below the folders.
    fn change(&self, thread: Pid, number: i64, arguments: [u64; 3]) -> Option<&'static str> {
        let file = |at: usize| self.is_below(thread, arguments[at]);
        let by_file: &[(i64, &str)] = &[
            (libc::SYS_write, "write"),
            (libc::SYS_writev, "writev"),
            (libc::SYS_pwrite64, "pwrite"),
            (libc::SYS_pwritev, "pwritev"),
            (libc::SYS_ftruncate, "ftruncate"),
            (libc::SYS_fallocate, "fallocate"),
            (libc::SYS_fsync, "fsync"),
            (libc::SYS_fdatasync, "fdatasync"),
            (libc::SYS_fchmod, "fchmod"),
            (libc::SYS_utimensat, "utimensat"),
            (libc::SYS_mkdirat, "mkdirat"),
            (libc::SYS_symlinkat, "symlinkat"),
            (libc::SYS_unlinkat, "unlinkat"),
            (libc::SYS_renameat, "renameat"),
            (libc::SYS_renameat2, "renameat2"),
            (libc::SYS_linkat, "linkat"),
            (libc::SYS_fchmodat, "fchmodat"),
        ];
        let by_path: &[(i64, &str)] = &[
            (libc::SYS_rename, "rename"),
            (libc::SYS_link, "link"),
            (libc::SYS_symlink, "symlink"),
            (libc::SYS_unlink, "unlink"),
            (libc::SYS_mkdir, "mkdir"),
            (libc::SYS_rmdir, "rmdir"),
            (libc::SYS_chmod, "chmod"),
            (libc::SYS_truncate, "truncate"),
        ];
        let named = |names: &[(i64, &'static str)]| names.iter().find(|(of, _)| *of == number).map(|(_, name)| *name);
        match number {
            libc::SYS_openat => {
                (arguments[2] & u64::from(libc::O_CREAT.cast_unsigned()) != 0 && file(0)).then_some("create")
            }
            libc::SYS_copy_file_range => file(2).then_some("copy_file_range"),
            libc::SYS_symlinkat => file(1).then_some("symlinkat"),
            _ => named(by_path).or_else(|| named(by_file).filter(|_| file(0))),
        }
    }

    fn is_below(&self, thread: Pid, file: u64) -> bool {
        // The low half is what the kernel reads of it.
        #[expect(clippy::cast_possible_truncation, reason = "as the kernel does")]
        let file: RawFd = (file as u32).cast_signed();
        let link = if file == libc::AT_FDCWD { "cwd".to_owned() } else { format!("fd/{file}") };
        let path = fs::read_link(format!("/proc/{thread}/{link}"));
        path.is_ok_and(|path| self.folders.iter().any(|folder| path.starts_with(folder)))
    }
}
