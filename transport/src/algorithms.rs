//! Which algorithms are offered, most wanted first.

use std::borrow::Cow;
use std::time::Duration;

use russh::keys::{Algorithm, EcdsaCurve, HashAlg};
use russh::{Limits, Preferred, SshId, cipher, client, compression, kex, mac};

use crate::endpoint::Endpoint;

/// mlkem768x25519 first (post-quantum, cheap), then curve25519; sntrup761, OpenSSH's former default, costs eight times
/// the CPU of curve25519 and is not offered. The group exchanges are for old and odd servers.
const KEX: &[kex::Name] = &[
    kex::MLKEM768X25519_SHA256,
    kex::CURVE25519,
    kex::CURVE25519_PRE_RFC_8731,
    kex::ECDH_SHA2_NISTP256,
    kex::ECDH_SHA2_NISTP384,
    kex::ECDH_SHA2_NISTP521,
    kex::DH_GEX_SHA256,
    kex::DH_G16_SHA512,
    kex::DH_G18_SHA512,
    kex::DH_G14_SHA256,
    kex::EXTENSION_SUPPORT_AS_CLIENT,
    kex::EXTENSION_OPENSSH_STRICT_KEX_AS_CLIENT,
];

const CIPHERS_AES_FIRST: &[cipher::Name] = &[
    cipher::AES_256_GCM,
    cipher::AES_128_GCM,
    cipher::CHACHA20_POLY1305,
    cipher::AES_256_CTR,
    cipher::AES_128_CTR,
];

const CIPHERS_CHACHA_FIRST: &[cipher::Name] = &[
    cipher::CHACHA20_POLY1305,
    cipher::AES_256_GCM,
    cipher::AES_128_GCM,
    cipher::AES_256_CTR,
    cipher::AES_128_CTR,
];

const MACS: &[mac::Name] = &[mac::HMAC_SHA256_ETM, mac::HMAC_SHA512_ETM, mac::HMAC_SHA256, mac::HMAC_SHA512];

const COMPRESSIONS: &[compression::Name] = &[compression::NONE];

/// All host key algorithms that are accepted, in OpenSSH's order; `ssh-rsa` with SHA-1 is not among them.
pub(crate) fn host_key_algorithms() -> Vec<Algorithm> {
    vec![
        Algorithm::Ed25519,
        Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 },
        Algorithm::Ecdsa { curve: EcdsaCurve::NistP384 },
        Algorithm::Ecdsa { curve: EcdsaCurve::NistP521 },
        Algorithm::Rsa { hash: Some(HashAlg::Sha512) },
        Algorithm::Rsa { hash: Some(HashAlg::Sha256) },
    ]
}

fn cpu_has_aes() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        std::arch::is_x86_feature_detected!("aes") && std::arch::is_x86_feature_detected!("pclmulqdq")
    }
    #[cfg(target_arch = "aarch64")]
    {
        std::arch::is_aarch64_feature_detected!("aes")
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    {
        false
    }
}

/// Which host keys to ask the server for.
#[derive(Debug, Clone)]
pub(crate) struct HostKeyOrder {
    /// Plain keys, most wanted first.
    pub keys: Vec<Algorithm>,
    /// Whether a certificate is wanted rather than a plain key.
    pub certificates: bool,
}

/// Keys are changed by us only after this many bytes in one direction, a quarter of what OpenSSH allows AES (2^32
/// blocks); for other ciphers sshd asks for it earlier. russh's own limit of 1 GiB is dangerous on a jump host's
/// connection: what is still under way on all channels when we ask must not exceed two windows, or russh gives up.
const REKEY_AFTER: usize = 1 << 34;

/// Makes russh's configuration for one connection.
pub(crate) fn client_config(endpoint: &Endpoint, order: HostKeyOrder) -> client::Config {
    let certificates = if order.certificates { order.keys.clone() } else { Vec::new() };
    client::Config {
        client_id: SshId::Standard(Cow::Borrowed(concat!("SSH-2.0-cm_", env!("CARGO_PKG_VERSION")))),
        nodelay: true,
        // The queue of a channel is not used (see `pipe`), only the confirmation passes through it.
        channel_buffer_size: 4,
        limits: Limits {
            rekey_write_limit: REKEY_AFTER,
            rekey_read_limit: REKEY_AFTER,
            rekey_time_limit: Duration::from_secs(24 * 3600),
        },
        keepalive_interval: (!endpoint.keepalive.is_zero()).then_some(endpoint.keepalive),
        keepalive_max: endpoint.keepalive_max as usize,
        preferred: Preferred {
            kex: Cow::Borrowed(KEX),
            key: Cow::Owned(order.keys),
            host_key_certificates: Cow::Owned(certificates),
            cipher: Cow::Borrowed(if cpu_has_aes() { CIPHERS_AES_FIRST } else { CIPHERS_CHACHA_FIRST }),
            mac: Cow::Borrowed(MACS),
            compression: Cow::Borrowed(COMPRESSIONS),
        },
        ..client::Config::default()
    }
}

/// How long a write may be blocked: as long as a silent peer is borne, and one interval more, so that the keepalive
/// (which gives the better message) is first where both apply.
pub(crate) fn write_limit(endpoint: &Endpoint) -> Option<Duration> {
    (!endpoint.keepalive.is_zero()).then(|| endpoint.keepalive * (endpoint.keepalive_max + 2))
}
