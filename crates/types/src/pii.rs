//! Kinds of personal data that the scanner tells apart.

use crate::class::words;
use crate::{DataFlag, DataFlags};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A kind of personal data, or of what must be kept as close.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum PiiKind {
    /// Resident registration number, 주민등록번호.
    #[serde(rename = "RRN")]
    Rrn,
    /// Foreigner registration number, 외국인등록번호.
    #[serde(rename = "FRN")]
    Frn,
    /// Passport number.
    #[serde(rename = "PASSPORT")]
    Passport,
    /// Driving licence number.
    #[serde(rename = "DRIVER_LICENSE")]
    DriverLicense,
    /// Business registration number, 사업자등록번호.
    #[serde(rename = "BRN")]
    Brn,
    /// Corporate registration number, 법인등록번호.
    #[serde(rename = "CRN")]
    Crn,
    /// Telephone number of a person.
    #[serde(rename = "PHONE")]
    Phone,
    /// Mail address.
    #[serde(rename = "EMAIL")]
    Email,
    /// Payment card number.
    #[serde(rename = "CARD")]
    Card,
    /// Bank account number.
    #[serde(rename = "BANK_ACCOUNT")]
    BankAccount,
    /// Street address.
    #[serde(rename = "ADDRESS")]
    Address,
    /// Vehicle plate.
    #[serde(rename = "VEHICLE_PLATE")]
    VehiclePlate,
    /// Credential: API key, token, private key.
    #[serde(rename = "SECRET")]
    Secret,
    /// Social security number of the United States.
    #[serde(rename = "US_SSN")]
    UsSsn,
    /// Internet address.
    #[serde(rename = "IP")]
    Ip,
}

words!(PiiKind, PiiKindError, "not a known kind of personal data",
    "RRN" => PiiKind::Rrn, "FRN" => PiiKind::Frn, "PASSPORT" => PiiKind::Passport,
    "DRIVER_LICENSE" => PiiKind::DriverLicense, "BRN" => PiiKind::Brn, "CRN" => PiiKind::Crn,
    "PHONE" => PiiKind::Phone, "EMAIL" => PiiKind::Email, "CARD" => PiiKind::Card,
    "BANK_ACCOUNT" => PiiKind::BankAccount, "ADDRESS" => PiiKind::Address,
    "VEHICLE_PLATE" => PiiKind::VehiclePlate, "SECRET" => PiiKind::Secret,
    "US_SSN" => PiiKind::UsSsn, "IP" => PiiKind::Ip);

impl PiiKind {
    /// All kinds.
    pub const ALL: [Self; 15] = [
        Self::Rrn,
        Self::Frn,
        Self::Passport,
        Self::DriverLicense,
        Self::Brn,
        Self::Crn,
        Self::Phone,
        Self::Email,
        Self::Card,
        Self::BankAccount,
        Self::Address,
        Self::VehiclePlate,
        Self::Secret,
        Self::UsSsn,
        Self::Ip,
    ];

    /// The flags that data with such a finding has. Numbers of companies and credentials are no personal data by
    /// themselves, and are found so that they can be masked.
    pub fn flags(self) -> DataFlags {
        let pii = DataFlags::NONE.with(DataFlag::Pii);
        match self {
            Self::Rrn | Self::Frn | Self::Passport | Self::DriverLicense | Self::UsSsn => {
                pii.with(DataFlag::UniqueId)
            }
            Self::Card | Self::BankAccount => pii.with(DataFlag::Credit),
            Self::Phone | Self::Email | Self::Address | Self::VehiclePlate | Self::Ip => pii,
            Self::Brn | Self::Crn | Self::Secret => DataFlags::NONE,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unique_identifiers_are_personal_data() {
        for kind in PiiKind::ALL {
            assert_eq!(kind.as_str().parse(), Ok(kind));
            let flags = kind.flags();
            assert!(flags.is_empty() || flags.has(DataFlag::Pii), "{kind}");
        }
        assert!(PiiKind::Rrn.flags().has(DataFlag::UniqueId));
    }
}
