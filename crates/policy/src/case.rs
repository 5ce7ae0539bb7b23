//! What is judged, as data: enough to decide it again, and nothing that could be acted on.

use std::collections::BTreeSet;
use std::net::IpAddr;

use protocol::Level;
use url::{Host, Url};

use crate::capability::GrantSpec;
use crate::egress::Egress;
use crate::finding::{Asking, Written};
use crate::judge::Judge;
use crate::network::Target;
use crate::principal::Principal;
use crate::rule::Effect;
use crate::secret::SecretName;
use crate::trace::Explanation;

/// One thing to judge, described. A description of a grant is no grant, and an explanation no permit:
///
/// ```compile_fail,E0599
/// fn forge(judge: &policy::Judge, case: &policy::Case, recorder: &impl policy::Recorder) {
///     let _ = judge.explain(case).record(recorder);
/// }
/// ```
/// ```compile_fail,E0308
/// fn forge(request: policy::CallRequest, case: policy::Case) -> policy::CallRequest {
///     policy::CallRequest { grant: case.grant, ..request }
/// }
/// ```
/// ```compile_fail,E0308
/// fn forge(judge: &policy::Judge, case: &policy::Case) -> policy::Egress {
///     judge.egress("fetch", case.level, &case.grant, &Default::default())
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    pub principal: Principal,
    pub tool: String,
    pub level: Level,
    /// What the grant holds that it is judged against.
    pub grant: GrantSpec,
    pub matter: Matter,
}

/// What is judged of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Matter {
    /// A call; [`Effect::Run`] is always judged.
    Call { effects: BTreeSet<Effect> },
    /// A change set.
    Commit {
        /// What was written.
        effects: Vec<Effect>,
        /// What a person allowed with the call.
        approved: BTreeSet<Effect>,
        /// Whether a call wrote it; else a person takes something back.
        by_call: bool,
    },
    /// What a call wants of the network while it runs.
    Request(RequestCase),
}

/// One request of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestCase {
    /// Counted from 1 in each call.
    pub number: u32,
    /// The requests that the call may make.
    pub max_requests: u32,
    /// What a person allowed with the call.
    pub approved: BTreeSet<Effect>,
    pub way: Way,
}

/// How it reaches the network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// HTTP to a URL. `addresses` are those that are known of its host.
    Url { url: Url, target: Target, addresses: Vec<IpAddr>, secrets: Vec<SecretName> },
    /// A socket to an address: itself, and each name that was found to have it.
    Socket { targets: Vec<Target>, address: IpAddr },
    /// Looking a name up.
    Lookup { name: Host<String> },
}

impl Judge {
    /// Judges `case` as it would be decided, and tells everything that was considered.
    pub fn explain(&self, case: &Case) -> Explanation {
        let mut trace = Vec::new();
        let asking = Asking { tool: &case.tool, level: case.level, grant: &case.grant };
        let finding = match &case.matter {
            Matter::Call { effects } => {
                let effects: Vec<&Effect> = std::iter::once(&Effect::Run).chain(effects).collect();
                self.find_call(asking, &effects, &mut trace)
            }
            Matter::Commit { effects, approved, by_call } => {
                let written = Written { principal: &case.principal, by_call: *by_call, effects, approved };
                self.find_commit(asking, written, &mut trace)
            }
            Matter::Request(request) => {
                let (tool, grant) = (case.tool.clone(), case.grant.clone());
                let egress = Egress::new(self.clone(), tool, case.level, grant, request.approved.clone());
                egress.find_request(request, &mut trace)
            }
        };
        finding.explained(trace)
    }
}
