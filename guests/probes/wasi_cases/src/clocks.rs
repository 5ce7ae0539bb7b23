//! Time, randomness, waiting, and what there is beside files.

use wasip1::{
    CLOCKID_MONOTONIC, CLOCKID_REALTIME, ERRNO_BADF, EVENTTYPE_CLOCK, EVENTTYPE_FD_READ, EVENTTYPE_FD_WRITE, Event, Fd,
    OFLAGS_CREAT, Subscription, SubscriptionClock, SubscriptionFdReadwrite, SubscriptionU, SubscriptionUU,
};

use crate::handle::{READ, WRITE, mount};
use crate::{Checked, cases, same};

cases!(
    args,
    big_random_buf,
    clock_res_get,
    clock_time_get,
    environ,
    isatty,
    poll_oneoff,
    poll_oneoff_files,
    poll_oneoff_stdio,
    sched_yield,
    stdio,
    stdio_not_isatty,
);

const MILLISECOND_NS: u64 = 1_000_000;

fn args() -> Checked {
    same!(unsafe { wasip1::args_sizes_get() }, Ok((0, 0)));
    Ok(())
}

fn environ() -> Checked {
    same!(unsafe { wasip1::environ_sizes_get() }, Ok((0, 0)));
    Ok(())
}

fn big_random_buf() -> Checked {
    let mut bytes = vec![0_u8; 65_536];
    same!(unsafe { wasip1::random_get(bytes.as_mut_ptr(), bytes.len()) }, Ok(()));
    // 64 KiB of zeros, or of one value, do not happen.
    same!(bytes.iter().all(|byte| *byte == bytes[0]), false);
    Ok(())
}

fn clock_res_get() -> Checked {
    for clock in [CLOCKID_MONOTONIC, CLOCKID_REALTIME] {
        same!(unsafe { wasip1::clock_res_get(clock) }.map(|resolution| resolution > 0), Ok(true));
    }
    Ok(())
}

fn clock_time_get() -> Checked {
    let now = |precision| unsafe { wasip1::clock_time_get(CLOCKID_MONOTONIC, precision) };
    let times = [now(0), now(1), now(u64::MAX), now(0)];
    same!(times.iter().all(Result::is_ok), true);
    same!(times.is_sorted_by(|left, right| left.ok() <= right.ok()), true);
    let wall = unsafe { wasip1::clock_time_get(CLOCKID_REALTIME, 0) };
    // 2020 in nanoseconds: a clock that stands at its beginning is none.
    same!(wall.map(|wall| wall > 1_577_836_800_000_000_000), Ok(true));
    Ok(())
}

fn sched_yield() -> Checked {
    same!(unsafe { wasip1::sched_yield() }, Ok(()));
    Ok(())
}

fn stdio() -> Checked {
    for fd in 0..3 {
        same!(unsafe { wasip1::fd_fdstat_get(fd) }.map(drop), Ok(()));
    }
    same!(unsafe { wasip1::fd_fdstat_get(99) }.map(drop), Err(ERRNO_BADF));
    Ok(())
}

/// A terminal is a character device that can be neither sought in nor told the place of.
fn isatty() -> Checked {
    for fd in 0..3 {
        same!(unsafe { wasip1::fd_tell(fd) }.is_err(), true);
    }
    Ok(())
}

fn stdio_not_isatty() -> Checked {
    for fd in 0..3 {
        let stat = unsafe { wasip1::fd_fdstat_get(fd) };
        same!(stat.map(|stat| stat.fs_filetype == wasip1::FILETYPE_CHARACTER_DEVICE), Ok(false));
    }
    Ok(())
}

fn timer(userdata: u64, nanoseconds: u64) -> Subscription {
    let clock = SubscriptionClock { id: CLOCKID_MONOTONIC, timeout: nanoseconds, precision: 0, flags: 0 };
    Subscription { userdata, u: SubscriptionU { tag: EVENTTYPE_CLOCK.raw(), u: SubscriptionUU { clock } } }
}

fn reads(userdata: u64, file_descriptor: Fd) -> Subscription {
    let fd_read = SubscriptionFdReadwrite { file_descriptor };
    Subscription { userdata, u: SubscriptionU { tag: EVENTTYPE_FD_READ.raw(), u: SubscriptionUU { fd_read } } }
}

fn writes(userdata: u64, file_descriptor: Fd) -> Subscription {
    let fd_write = SubscriptionFdReadwrite { file_descriptor };
    Subscription { userdata, u: SubscriptionU { tag: EVENTTYPE_FD_WRITE.raw(), u: SubscriptionUU { fd_write } } }
}

/// Returns the sorted user data of what happened.
fn happened(subscriptions: &[Subscription]) -> Result<Vec<u64>, wasip1::Errno> {
    let mut events: Vec<Event> = Vec::with_capacity(subscriptions.len());
    let count = unsafe { wasip1::poll_oneoff(subscriptions.as_ptr(), events.as_mut_ptr(), subscriptions.len()) }?;
    // SAFETY: the host wrote so many.
    unsafe { events.set_len(count) };
    let mut data: Vec<u64> = events.iter().map(|event| event.userdata).collect();
    data.sort_unstable();
    Ok(data)
}

fn poll_oneoff() -> Checked {
    same!(happened(&[]).is_err(), true);
    let before = unsafe { wasip1::clock_time_get(CLOCKID_MONOTONIC, 0) };
    same!(happened(&[timer(7, 2 * MILLISECOND_NS), timer(8, 3_600_000 * MILLISECOND_NS)]), Ok(vec![7]));
    let after = unsafe { wasip1::clock_time_get(CLOCKID_MONOTONIC, 0) };
    same!(after.and_then(|after| before.map(|before| after - before >= 2 * MILLISECOND_NS)), Ok(true));
    Ok(())
}

fn poll_oneoff_files() -> Checked {
    let mount = mount();
    same!(mount.put("f", b"content"), Ok(()));
    let file = mount.open("f", OFLAGS_CREAT, READ | WRITE)?;
    same!(happened(&[reads(1, file.0), writes(2, file.0), timer(3, u64::MAX)]), Ok(vec![1, 2]));
    Ok(())
}

fn poll_oneoff_stdio() -> Checked {
    same!(happened(&[writes(1, 1), writes(2, 2), timer(3, u64::MAX)]), Ok(vec![1, 2]));
    Ok(())
}
