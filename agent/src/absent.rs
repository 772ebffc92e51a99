//! What the C library and the standard library bring along and the agent never runs: told absent here, so that
//! the linker leaves out what stands behind it. It is a third of the program, and every host receives it.
//!
//! A symbol that the program itself defines is never looked for in `libc.a`. So each of these says, in the words
//! its callers know, "there is none": no file for C's stdio, no translation, no loader of libraries, no frames.
//! Nothing is lost: the program is static (nothing can be loaded into it), it carries no tables for unwinding
//! (a panic aborts and tells its message and place), Rust prints and parses by itself, and names of hosts are not
//! resolved by C. The linker takes the first definition where another version of the C library has one too.
#![expect(unsafe_code, reason = "symbols of the C library have names that are not mangled")]

use std::ffi::{c_char, c_int, c_void};

/// What [`_Unwind_Backtrace`] calls for each frame.
type Frame = extern "C" fn(*mut c_void, *mut c_void) -> c_int;

/// There are no frames to tell: without tables they could not be found anyway. So nothing reads debug
/// information in the program either.
#[unsafe(no_mangle)]
extern "C" fn _Unwind_Backtrace(_each: Frame, _argument: *mut c_void) -> c_int {
    const END_OF_STACK: c_int = 5;
    END_OF_STACK
}

/// Functions that only something that unwinds calls, and nothing does.
macro_rules! never {
    ($($name:ident($($argument:ty),*) $(-> $answer:ty)?;)*) => {
        $(
            #[unsafe(no_mangle)]
            extern "C" fn $name($(_: $argument),*) $(-> $answer)? {
                std::process::abort()
            }
        )*
    };
}

never! {
    _Unwind_GetDataRelBase(*mut c_void) -> usize;
    _Unwind_GetTextRelBase(*mut c_void) -> usize;
    _Unwind_GetRegionStart(*mut c_void) -> usize;
    _Unwind_GetIP(*mut c_void) -> usize;
    _Unwind_GetIPInfo(*mut c_void, *mut c_int) -> usize;
    _Unwind_GetCFA(*mut c_void) -> usize;
    _Unwind_GetLanguageSpecificData(*mut c_void) -> *mut c_void;
    _Unwind_SetGR(*mut c_void, c_int, usize);
    _Unwind_SetIP(*mut c_void, usize);
    _Unwind_Resume(*mut c_void) -> !;
    _Unwind_ForcedUnwind(*mut c_void, *mut c_void, *mut c_void) -> c_int;
    __gcc_personality_v0() -> c_int;
    // A broken promise of the C library's own.
    __assert_fail(*const c_char, *const c_char, u32, *const c_char) -> !;
    __assert_perror_fail(c_int, *const c_char, u32, *const c_char) -> !;
}

/// Functions that answer that there is nothing.
macro_rules! nothing {
    ($($(#[$doc:meta])* $name:ident() -> $type:ty = $answer:expr;)*) => {
        $(
            $(#[$doc])*
            #[unsafe(no_mangle)]
            extern "C" fn $name() -> $type {
                $answer
            }
        )*
    };
}

nothing! {
    // No loader of libraries, so neither folders it looks into nor stacks that a library wants executable.
    __libc_dlopen_mode() -> *mut c_void = std::ptr::null_mut();
    __libc_dlsym() -> *mut c_void = std::ptr::null_mut();
    __libc_dlclose() -> c_int = 0;
    _dl_init_paths() -> c_int = 0;
    __nptl_change_stack_perm() -> c_int = 0;
    // No stdio of C: what is left of it in there are statistics nobody asks for and files of locales.
    fopen() -> *mut c_void = std::ptr::null_mut();
    _IO_new_fopen() -> *mut c_void = std::ptr::null_mut();
    fprintf() -> c_int = -1;
    sprintf() -> c_int = -1;
    __asprintf() -> c_int = -1;
    // No wide characters, so no conversions to and from them (1: this encoding is not there).
    __wcsmbs_load_conv() -> c_int = 0;
    __wcsmbs_clone_conv() -> c_int = 0;
    __wcsmbs_named_conv() -> c_int = 1;
    __wcsmbs_getfct() -> *mut c_void = std::ptr::null_mut();
    _nl_cleanup_ctype() -> c_int = 0;
}

/// Where the conversions of the "C" locale would stand: two pointers with their counts.
#[unsafe(no_mangle)]
static __wcsmbs_gconv_fcts_c: [usize; 4] = [0; 4];

/// No loader of libraries: std asks it for functions that may be missing and has other ways.
#[unsafe(no_mangle)]
extern "C" fn dlsym(_library: *mut c_void, _name: *const c_char) -> *mut c_void {
    std::ptr::null_mut()
}

/// Where the stack of a thread lies is asked for a kinder word when it overflows; finding out reads
/// `/proc/self/maps` at each start.
#[unsafe(no_mangle)]
extern "C" fn pthread_getattr_np(_thread: libc::pthread_t, _attributes: *mut libc::pthread_attr_t) -> c_int {
    libc::ENOSYS
}

/// Names the thread that calls; another one is never named.
#[unsafe(no_mangle)]
extern "C" fn pthread_setname_np(_thread: libc::pthread_t, name: *const c_char) -> c_int {
    // SAFETY: `name` is text with a NUL at its end, and the kernel copies no more than 16 bytes of it.
    unsafe { libc::prctl(libc::PR_SET_NAME, name) }
}

/// Messages are not translated.
#[unsafe(no_mangle)]
extern "C" fn __dcgettext(_domain: *const c_char, message: *const c_char, _category: c_int) -> *const c_char {
    message
}

/// Called for one thing: the message of an error whose number is unknown. (Rust adds the number.)
#[unsafe(no_mangle)]
extern "C" fn __snprintf(buffer: *mut c_char, size: usize, _format: *const c_char) -> c_int {
    const TEXT: &[u8] = b"Unknown error\0";
    if size >= TEXT.len() {
        // SAFETY: the buffer has room for `size` bytes.
        unsafe { std::ptr::copy_nonoverlapping(TEXT.as_ptr().cast(), buffer, TEXT.len()) };
    }
    13
}

// A new thread's word for the state of its resolver of host names, of which there is none.
std::arch::global_asm!(
    ".pushsection .tbss.cm_resolver,\"awT\",%nobits",
    ".p2align 3",
    ".globl __resp",
    ".globl __libc_resp",
    ".type __resp, %tls_object",
    ".type __libc_resp, %tls_object",
    ".size __resp, 8",
    ".size __libc_resp, 8",
    "__resp:",
    "__libc_resp:",
    ".zero 8",
    ".popsection",
);
