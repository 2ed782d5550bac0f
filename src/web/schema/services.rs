//! Bodies of `PUT /os-services/…` (cinder: `api/schemas/services.py`).

use serde_json::Value;

use super::prelude::*;
use crate::web::fault::Fault;

macro_rules! disable {
    ($($later:expr)?) => {
        object!(
            [
                ("binary", STRING_255),
                ("host", HOST),
                ("cluster", NULLABLE_STRING),
                ("service", STRING_255),
                $($later,)?
            ],
            AnyOf(&[Schema(&[Required(&["binary"])]), Schema(&[Required(&["service"])])])
        )
    };
}

pub(in crate::web) const ENABLE_AND_DISABLE: Schema = disable!();
pub(in crate::web) const DISABLE_LOG_REASON: Schema = disable!((
    "disabled_reason",
    Schema(&[
        Type(&[Kind::String]),
        MinLength(1),
        MaxLength(255),
        FormatCheck(Format::DisabledReason),
    ])
));

/// A body of `freeze` or `thaw`.
pub(in crate::web) const FREEZE_AND_THAW: Schema = object!([("cluster", NULLABLE_STRING), ("host", HOST)]);

/// A body of `failover_host` or `failover`.
pub(in crate::web) const FAILOVER: Schema = object!([
    ("host", HOST),
    ("backend_id", NULLABLE_STRING),
    ("cluster", NULLABLE_STRING),
]);

/// A change of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceChange {
    /// `host` or `host@backend`; [`ServiceChange::host`] asks for it behind policy.
    host: Option<String>,
    /// The older key for `binary`; returned to the client unchanged.
    pub service: String,
    /// `cinder-volume`, …
    pub binary: String,
    /// Why it is disabled.
    pub disabled_reason: Option<String>,
}

impl ServiceChange {
    /// The host. Cinder requires it after the policy check.
    ///
    /// # Errors
    /// 400 if there is none.
    pub fn host(&self) -> Result<&str, Fault> {
        self.host
            .as_deref()
            .ok_or_else(|| Fault::invalid_input("Host field is missing."))
    }

    /// The effective name: `binary`, else `service`.
    pub fn key(&self) -> &str {
        if self.binary.is_empty() {
            &self.service
        } else {
            &self.binary
        }
    }
}

/// Reads `enable`, `disable` and `disable-log-reason`.
pub fn change(body: &Value) -> ServiceChange {
    let own = |field: &str| {
        text(body, field)
            .filter(|text| !text.is_empty())
            .map(str::to_owned)
    };
    ServiceChange {
        host: own("host"),
        service: own("service").unwrap_or_default(),
        binary: own("binary").unwrap_or_default(),
        disabled_reason: own("disabled_reason"),
    }
}
