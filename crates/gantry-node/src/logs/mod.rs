//! Containers' logs: files that the runtime writes in CRI's format, one line `time stream tags text` for each line, or
//! part of a long one. `read.rs` reads and follows them, `rotate.rs` keeps them small.

mod print;
pub mod read;
pub mod rotate;
mod tail;
mod watch;

/// Where a line was written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// What of a log is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Also what comes, until the container ends.
    pub follow: bool,
    /// Each line with its time.
    pub timestamps: bool,
    /// So many of the last lines.
    pub tail: Option<u64>,
    /// At most so many bytes.
    pub limit: Option<u64>,
    /// Nothing from before this time, in nanoseconds since 1970.
    pub since: Option<i64>,
    /// Only what was written there.
    pub stream: Option<Stream>,
}
