//! Asking a person: what was remembered, what was answered before, who is there now, and who answers from elsewhere.

use std::time::Duration;

use policy::{Answer, Decision, Judged, Question};
use protocol::{ApprovalId, ApprovalRequest, ApprovalSubject, CallId, CallOutcome, EventBody, canonical, digest};
use serde_json::json;
use workspace::{ApprovalRecord, ApprovalState, Durability};

use crate::ToolsError;
use crate::approver::{Asked, Attendance};
use crate::call::{Calling, Ended, Halt};
use crate::entry::Tool;

/// How often it is looked whether somebody answered from elsewhere.
const GLANCE: Duration = Duration::from_millis(200);

/// The rule that a call is not run again after it may have had an effect.
const REPEAT_RULE: &str = "repeat.unknown-outcome";

/// What came of a question.
enum Met {
    Answered(Answer, Option<ApprovalId>),
    /// It is kept, and nobody answered yet.
    Waits(ApprovalId),
}

impl Calling<'_> {
    /// Records a judgement and, when it asks, the answer. What is not allowed halts the call. `detail` is shown with the
    /// question.
    pub(crate) async fn settle<P>(
        &self,
        tool: &Tool,
        judged: Judged<P>,
        detail: &str,
    ) -> Result<Result<P, Halt>, ToolsError> {
        let journal = self.journal();
        let question = match judged.record(&journal)? {
            Decision::Ask(question) => question,
            decided => return Ok(allowed(decided)),
        };
        Ok(match self.put(&self.asking(tool, &question), detail).await? {
            Met::Answered(answer, approval) => allowed(question.answer(answer, approval, &journal)?),
            Met::Waits(approval) => Err(Halt::Waits(approval)),
        })
    }

    fn asking<P>(&self, tool: &Tool, question: &Question<P>) -> ApprovalRequest {
        let subject = match question.change_set() {
            Some(change_set) => ApprovalSubject::Commit { change_set: change_set.clone() },
            None => ApprovalSubject::Call,
        };
        ApprovalRequest {
            call: self.call_id().clone(),
            tool: question.tool().to_owned(),
            subject,
            digest: question.digest().clone(),
            effects: question.effects().to_vec(),
            rule: question.rule().to_owned(),
            reason: question.reason().to_owned(),
            ceiling: self.ceiling(tool),
            expires_at_ms: self.expiry(),
        }
    }

    fn expiry(&self) -> u64 {
        let lasting_ms = u64::try_from(self.tools.approval_lasts.as_millis()).unwrap_or(u64::MAX);
        self.tools.workspace.journal().now_ms().saturating_add(lasting_ms)
    }

    /// Returns what the call may use at most, for people.
    fn ceiling(&self, tool: &Tool) -> String {
        let limits = self.tools.limits.meet(&tool.limits);
        let mut ceiling = format!("{} s, {} MiB written", limits.timeout_ms.div_ceil(1_000), limits.staged_bytes >> 20);
        if !tool.manifest.capabilities.network.is_empty() {
            let received = limits.received_bytes >> 20;
            let network = format!(", {} requests, {received} MiB received", limits.requests);
            ceiling.push_str(&network);
        }
        ceiling
    }

    /// Has a call that was interrupted run again only if that can do no harm, or a person says so. Of a call that was never
    /// begun there is nothing to ask.
    pub(crate) async fn may_run(&self, tool: &Tool) -> Result<Result<(), Halt>, ToolsError> {
        let uncertain: Vec<_> = self.pending.requests.iter().filter(|sent| sent.class().asks()).collect();
        if uncertain.is_empty() {
            return Ok(Ok(()));
        }
        let effects: Vec<_> = uncertain.iter().map(ToString::to_string).collect();
        let request = ApprovalRequest {
            call: self.call_id().clone(),
            tool: tool.manifest.name.clone(),
            subject: ApprovalSubject::Repeat,
            // Of exactly what was sent until now: another interruption asks again.
            digest: digest("boxagnts repeat", &json!([self.pending.proposal.arguments, effects])),
            effects: effects.clone(),
            rule: REPEAT_RULE.to_owned(),
            reason: "The runtime stopped after this was sent, and nobody knows what came of it. Run the call again?"
                .into(),
            ceiling: self.ceiling(tool),
            expires_at_ms: self.expiry(),
        };
        let detail = match &self.pending.proposal.arguments {
            protocol::Arguments::Json(arguments) => canonical(arguments),
            protocol::Arguments::Malformed(text) => text.clone(),
        };
        Ok(match self.put(&request, &detail).await? {
            Met::Answered(Answer::Yes, _) => Ok(()),
            Met::Answered(..) => Err(unknown(&effects).into()),
            Met::Waits(approval) => Err(Halt::Waits(approval)),
        })
    }

    /// Finds the answer to `request`: a remembered one, one that was given before, or one that is given now.
    async fn put(&self, request: &ApprovalRequest, detail: &str) -> Result<Met, ToolsError> {
        let journal = self.tools.workspace.journal();
        let known = journal.approvals(self.session.id())?;
        if let Some(record) = known.iter().find(|record| record.covers(request)) {
            return Ok(Met::Answered(Answer::Remembered, Some(record.approval.clone())));
        }
        let earlier = known.iter().rfind(|record| record.is_of(request));
        let open = match earlier.map(|record| (record, record.state(journal.now_ms()))) {
            Some((record, ApprovalState::Allowed)) => return Ok(answered(Answer::Yes, record)),
            Some((record, ApprovalState::Refused)) => return Ok(answered(Answer::No, record)),
            Some((record, ApprovalState::Open)) => Some(record.approval.clone()),
            _ => None,
        };
        if self.tools.approver.attendance() == Attendance::Absent {
            return Ok(Met::Answered(Answer::Unattended, None));
        }
        let approval = match open {
            Some(approval) => approval,
            None => self.ask(request)?,
        };
        match self.tools.approver.attendance() {
            Attendance::Present => self.wait(approval, request, detail).await,
            _ => Ok(Met::Waits(approval)),
        }
    }

    /// Writes the question down, so that it outlives the process.
    fn ask(&self, request: &ApprovalRequest) -> Result<ApprovalId, ToolsError> {
        let approval = ApprovalId::from_random((self.tools.random)());
        let asked = EventBody::ApprovalAsked { approval: approval.clone(), request: request.clone() };
        self.journal().append(&[asked], Durability::Power)?;
        Ok(approval)
    }

    /// Waits for the first answer: of whoever is present, or from elsewhere.
    async fn wait(&self, approval: ApprovalId, request: &ApprovalRequest, detail: &str) -> Result<Met, ToolsError> {
        let ApprovalRequest { tool, effects, rule, reason, ceiling, .. } = request;
        let may_remember = request.subject != ApprovalSubject::Repeat;
        let asked = Asked { tool, effects, rule, reason, detail, ceiling, approval: Some(&approval), may_remember };
        tokio::select! {
            biased;
            // Whoever takes the session up again is asked the same.
            () = self.cancel.cancelled() => Ok(Met::Waits(approval.clone())),
            met = self.elsewhere(&approval) => met,
            answer = self.tools.approver.ask(asked) => {
                let said = EventBody::ApprovalAnswered { approval: approval.clone(), answer };
                self.journal().append(&[said], Durability::Process)?;
                self.first(&approval)?.map_or(Ok(Met::Waits(approval)), Ok)
            }
        }
    }

    async fn elsewhere(&self, approval: &ApprovalId) -> Result<Met, ToolsError> {
        loop {
            tokio::time::sleep(GLANCE).await;
            if let Some(met) = self.first(approval)? {
                return Ok(met);
            }
        }
    }

    /// Returns what came first: an answer, or the end of the time for one.
    fn first(&self, approval: &ApprovalId) -> Result<Option<Met>, ToolsError> {
        let journal = self.tools.workspace.journal();
        let known = journal.approvals(self.session.id())?;
        let record = known.iter().find(|record| record.approval == *approval);
        Ok(record.and_then(|record| match record.state(journal.now_ms()) {
            ApprovalState::Allowed => Some(answered(Answer::Yes, record)),
            ApprovalState::Refused => Some(answered(Answer::No, record)),
            ApprovalState::Expired => Some(answered(Answer::Expired, record)),
            ApprovalState::Open | ApprovalState::Used => None,
        }))
    }

    pub(crate) fn call_id(&self) -> &CallId {
        &self.pending.proposal.call
    }
}

fn answered(answer: Answer, record: &ApprovalRecord) -> Met {
    Met::Answered(answer, Some(record.approval.clone()))
}

fn allowed<P>(decision: Decision<P>) -> Result<P, Halt> {
    match decision {
        Decision::Allow(permit) => Ok(permit),
        Decision::Deny(denial) => Err(Ended::denied(&denial).into()),
        Decision::Ask(_) => unreachable!("an answer does not ask"),
    }
}

/// Returns the end of a call that may have had its effect and was not run again.
fn unknown(effects: &[String]) -> Ended {
    let sent = effects.join(", ");
    let text = format!(
        "The call was interrupted after it had sent {sent}. Whether that took effect is not known, and it was not sent \
         again. Find out what happened before you repeat it."
    );
    Ended::unrun(CallOutcome::Unknown, text, &format!("interrupted after {sent}; outcome unknown"))
}
