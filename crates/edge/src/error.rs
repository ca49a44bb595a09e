// SPDX-License-Identifier: Apache-2.0
//! What can go wrong at start and in commands; packets never lead here.

use std::io;

use thiserror::Error;

/// Each says what failed, where, and what to do.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum EdgeError {
    /// The configuration document is not what the node layer writes.
    #[error("the edge's configuration is not usable: {0}")]
    Config(String),
    /// A listening address cannot be bound.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// As configured.
        address: String,
        /// What to do.
        hint: &'static str,
        /// The system's word.
        source: io::Error,
    },
    /// A system call that should not fail.
    #[error("cannot {doing}: {source}")]
    System {
        /// What was tried.
        doing: &'static str,
        /// The system's word.
        source: io::Error,
    },
    /// Too few file descriptors for what is configured.
    #[error("{limit} file descriptors are allowed and {needed} are needed for {connections} TCP connections")]
    Descriptors {
        /// Allowed now (`RLIMIT_NOFILE`, already raised to the hard limit).
        limit: u64,
        /// Needed at most.
        needed: u64,
        /// Configured.
        connections: usize,
    },
    /// A certificate or key cannot be used.
    #[error("{key} {path} cannot be used: {why}")]
    Certificate {
        /// The key of the configuration that names the file.
        key: &'static str,
        /// The file.
        path: String,
        /// What is wrong with it.
        why: String,
    },
    /// A listening address needs TLS, and there is no certificate.
    #[error("tls:{0} needs a certificate and its key")]
    NoCertificate(std::net::SocketAddr),
    /// A journal stream cannot be opened.
    #[error(transparent)]
    Journal(#[from] journal::JournalError),
    /// The operator's snapshot cannot be used.
    #[error(transparent)]
    Snapshot(#[from] guard::SnapshotError),
    /// A header field whose name is no token, or whose value has a line end or a null byte.
    #[error("a header field is not usable: {0}")]
    Header(String),
    /// Something else of an order that cannot be sent.
    #[error("an order is not usable: {0}")]
    Order(String),
    /// The edge was stopped, or one of its threads ended.
    #[error("the edge is not running")]
    Stopped,
}

impl EdgeError {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Listen { hint, .. } => hint,
            Self::Descriptors { .. } => {
                "raise the limit (ulimit -n, LimitNOFILE= of systemd) or lower tcp.max_connections"
            }
            Self::Certificate { .. } => {
                "name a PEM file that the user of the switch may read; the certificate's own comes first in its chain"
            }
            Self::NoCertificate(_) => "set tls.certificate and tls.key in the configuration",
            Self::Snapshot(_) | Self::Config(_) => "the configuration before it stays in force; report this as a fault",
            Self::Header(_) | Self::Order(_) => "report this as a fault of the call layer",
            Self::System { .. } => "look at the limits of this process and of the machine",
            Self::Journal(_) | Self::Stopped => "start the switch again",
        }
    }

    /// The stable name of the kind of error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Listen { .. } => "listen",
            Self::Descriptors { .. } => "descriptors",
            Self::Certificate { .. } | Self::NoCertificate(_) => "certificate",
            Self::Snapshot(_) => "snapshot",
            Self::Config(_) => "config",
            Self::Header(_) => "header",
            Self::Order(_) => "order",
            Self::System { .. } => "system",
            Self::Journal(_) => "journal",
            Self::Stopped => "stopped",
        }
    }
}
