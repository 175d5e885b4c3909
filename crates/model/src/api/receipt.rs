//! Receipts on the wire.

use serde::{Deserialize, Serialize};

use crate::receipt::{Envelope, PublicKey, Receipt};
use crate::time::Timestamp;

/// A receipt, and the signed document that it was read from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SignedReceipt {
    /// When it was signed.
    #[schema(value_type = String, format = DateTime)]
    pub issued_at: Timestamp,
    /// What it says.
    pub receipt: Receipt,
    /// The same, signed: what others check.
    pub envelope: Envelope,
}

/// The keys that receipts can be checked with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ReceiptKeys {
    /// Oldest first; the last one signs.
    pub keys: Vec<PublicKey>,
}

/// A receipt that is authentic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct VerifiedReceipt {
    /// Which key signed it.
    pub key: String,
    /// What it says.
    pub receipt: Receipt,
}
