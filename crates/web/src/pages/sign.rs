//! The five signs of a state, each with its word: a colour alone says nothing.

use naru_model::api::{Condition, LandingState, Progress, RolloutState};
use naru_store::trigger::TriggerState;

use super::html::{Html, escape};
use super::language::{Language, words};

/// What a state means to the eye.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    Good,
    Moving,
    Attention,
    Failed,
    Idle,
}

impl Tone {
    pub(crate) fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Moving => "moving",
            Self::Attention => "attention",
            Self::Failed => "failed",
            Self::Idle => "idle",
        }
    }

    pub(crate) fn mark(self) -> char {
        match self {
            Self::Good => '●',
            Self::Moving => '◐',
            Self::Attention => '▲',
            Self::Failed => '■',
            Self::Idle => '○',
        }
    }

    /// The mark without a word, where the word stands elsewhere.
    pub(crate) fn bare(self) -> Html {
        Html(format!(r#"<span class="mark {}" aria-hidden="true">{}</span>"#, self.class(), self.mark()))
    }

    /// The mark with its word.
    pub(crate) fn sign(self, word: &str) -> Html {
        let (class, mark, word) = (self.class(), self.mark(), escape(word));
        Html(format!(r#"<span class="sign {class}"><span aria-hidden="true">{mark}</span> {word}</span>"#))
    }
}

words! {
    idle: "idle", "대기";
    live: "live", "운영 중";
    moving: "moving", "진행 중";
    degraded: "degraded", "불안정";
    failed: "failed", "실패";
    blocked: "blocked", "막힘";
    retrying: "retrying", "다시 시도 중";
    waiting: "waiting", "기다림";
    running: "running", "실행 중";
    done: "done", "완료";
    succeeded: "succeeded", "성공";
    cancelled: "cancelled", "취소됨";
    skipped: "skipped", "건너뜀";
    overtaken: "overtaken", "새 리비전에 밀림";
    received: "received", "받음";
    accepted: "accepted", "접수됨";
    rejected: "rejected", "거절됨";
    became_run: "led to a run", "런 시작";
    ignored: "ignored", "실행할 것 없음";
    superseded: "superseded", "새 커밋으로 대체됨";
}

/// What has a sign.
pub(crate) trait Signed: Copy {
    /// How it looks and what it is called.
    fn tone_and_word(self, words: Words) -> (Tone, &'static str);

    /// How it looks.
    fn tone(self) -> Tone {
        self.tone_and_word(Words(Language::English)).0
    }

    /// The mark with its word.
    fn sign(self, language: Language) -> Html {
        let (tone, word) = self.tone_and_word(Words(language));
        tone.sign(word)
    }
}

impl Signed for Condition {
    fn tone_and_word(self, words: Words) -> (Tone, &'static str) {
        match self {
            Self::Idle => (Tone::Idle, words.idle()),
            Self::Live => (Tone::Good, words.live()),
            Self::Moving => (Tone::Moving, words.moving()),
            Self::Degraded => (Tone::Attention, words.degraded()),
            Self::Failed => (Tone::Failed, words.failed()),
            Self::Blocked => (Tone::Failed, words.blocked()),
            Self::Retrying => (Tone::Attention, words.retrying()),
        }
    }
}

impl Signed for Progress {
    fn tone_and_word(self, words: Words) -> (Tone, &'static str) {
        match self {
            Self::Waiting => (Tone::Idle, words.waiting()),
            Self::Moving => (Tone::Moving, words.running()),
            Self::Done => (Tone::Good, words.succeeded()),
            Self::Failed => (Tone::Failed, words.failed()),
            Self::Cancelled => (Tone::Attention, words.cancelled()),
            Self::Skipped => (Tone::Idle, words.skipped()),
        }
    }
}

impl Signed for LandingState {
    fn tone_and_word(self, words: Words) -> (Tone, &'static str) {
        match self {
            Self::Waiting => (Tone::Idle, words.waiting()),
            Self::Moving => (Tone::Moving, words.moving()),
            Self::Done => (Tone::Good, words.done()),
            Self::Failed => (Tone::Failed, words.failed()),
            Self::Skipped => (Tone::Idle, words.skipped()),
        }
    }
}

impl Signed for RolloutState {
    fn tone_and_word(self, words: Words) -> (Tone, &'static str) {
        match self {
            Self::Waiting => (Tone::Idle, words.waiting()),
            Self::Moving => (Tone::Moving, words.moving()),
            Self::Live => (Tone::Good, words.live()),
            Self::Failed => (Tone::Failed, words.failed()),
            Self::Overtaken => (Tone::Idle, words.overtaken()),
        }
    }
}

impl Signed for TriggerState {
    fn tone_and_word(self, words: Words) -> (Tone, &'static str) {
        match self {
            Self::Received => (Tone::Moving, words.received()),
            Self::Accepted => (Tone::Moving, words.accepted()),
            Self::Rejected => (Tone::Failed, words.rejected()),
            Self::Run => (Tone::Good, words.became_run()),
            Self::Ignored => (Tone::Idle, words.ignored()),
            Self::Superseded => (Tone::Idle, words.superseded()),
            Self::Failed => (Tone::Failed, words.failed()),
        }
    }
}
