//! The pause program: it holds a pod's namespaces open, and reaps what is left to it when a pod shares its processes.
//! It ends on SIGINT and SIGTERM. build.rs compiles it on its own, without any library.

#![no_std]
#![no_main]

use core::arch::asm;
use core::panic::PanicInfo;

const SIGINT: u64 = 2;
const SIGTERM: u64 = 15;
const SIGCHLD: u64 = 17;
const SIG_BLOCK: usize = 0;
const WNOHANG: usize = 1;

#[cfg(target_arch = "x86_64")]
mod number {
    pub const RT_SIGPROCMASK: usize = 14;
    pub const WAIT4: usize = 61;
    pub const EXIT: usize = 60;
    pub const RT_SIGTIMEDWAIT: usize = 128;
}

#[cfg(target_arch = "aarch64")]
mod number {
    pub const RT_SIGPROCMASK: usize = 135;
    pub const WAIT4: usize = 260;
    pub const EXIT: usize = 93;
    pub const RT_SIGTIMEDWAIT: usize = 137;
}

#[cfg(target_arch = "x86_64")]
fn syscall(number: usize, a: usize, b: usize, c: usize, d: usize) -> isize {
    let result: isize;
    // SAFETY: the calls made here read and write only the memory that their arguments name, which the callers own.
    unsafe {
        asm!("syscall", inlateout("rax") number as isize => result, in("rdi") a, in("rsi") b, in("rdx") c,
            in("r10") d, lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    result
}

#[cfg(target_arch = "aarch64")]
fn syscall(number: usize, a: usize, b: usize, c: usize, d: usize) -> isize {
    let result: isize;
    // SAFETY: the calls made here read and write only the memory that their arguments name, which the callers own.
    unsafe {
        asm!("svc 0", in("x8") number, inlateout("x0") a as isize => result, in("x1") b, in("x2") c, in("x3") d,
            options(nostack));
    }
    result
}

/// Where the kernel enters.
#[unsafe(no_mangle)]
pub extern "C" fn _start() -> ! {
    // The signals are blocked and then taken one by one, so that no handler is needed.
    let signals: u64 = [SIGINT, SIGTERM, SIGCHLD].iter().fold(0, |set, s| set | 1 << (s - 1));
    let set = &raw const signals as usize;
    syscall(number::RT_SIGPROCMASK, SIG_BLOCK, set, 0, 8);
    loop {
        // Children may have ended before the signals were blocked.
        while syscall(number::WAIT4, usize::MAX, 0, WNOHANG, 0) > 0 {}
        let signal = syscall(number::RT_SIGTIMEDWAIT, set, 0, 0, 8);
        if signal == SIGINT as isize || signal == SIGTERM as isize {
            syscall(number::EXIT, 0, 0, 0, 0);
        }
    }
}

#[panic_handler]
fn panic(_: &PanicInfo) -> ! {
    syscall(number::EXIT, 1, 0, 0, 0);
    loop {}
}
