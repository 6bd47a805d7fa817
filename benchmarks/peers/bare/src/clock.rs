//! CPU time of this process and monotonic time, both in nanoseconds.

fn read(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid timespec; both clocks asked for exist on every Linux.
    unsafe { libc::clock_gettime(clock, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

pub fn monotonic() -> u64 {
    read(libc::CLOCK_MONOTONIC)
}

pub fn cpu() -> u64 {
    read(libc::CLOCK_PROCESS_CPUTIME_ID)
}

/// What something took, as the JSON members that every answer has.
pub struct Stopwatch {
    wall: u64,
    cpu: u64,
}

impl Stopwatch {
    pub fn start() -> Self {
        Self { wall: monotonic(), cpu: cpu() }
    }

    pub fn json(&self) -> String {
        format!(r#""wall_ns": {}, "cpu_ns": {}"#, monotonic() - self.wall, cpu() - self.cpu)
    }
}
