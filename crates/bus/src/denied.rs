//! What the server does not let us do. A denied message is thrown away without an answer, and the complaint comes on
//! its own: unless somebody puts the two together, a missing permission looks like a server that does not answer.

use std::collections::VecDeque;
use std::fmt;

use tokio::sync::watch;

/// Complaints that are remembered: more than can come between a request and a look.
const REMEMBERED: usize = 64;

/// Something that the NATS user may not do; shown as one sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denied {
    what: What,
    subject: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Publish,
    Subscribe,
}

impl Denied {
    /// Reads a complaint of the server, such as `Permissions Violation for Publish to "hooks.a"`; none when it is of
    /// another kind.
    fn read(text: &str) -> Option<Self> {
        let rest = text.trim().strip_prefix("Permissions Violation for ")?;
        let (what, rest) = match rest.split_once(" to ")? {
            ("Publish", rest) => (What::Publish, rest),
            ("Subscription", rest) => (What::Subscribe, rest),
            _ => return None,
        };
        let subject = rest.strip_prefix('"')?.split('"').next()?;
        Some(Self { what, subject: subject.to_owned() })
    }

    /// The subject as it was used, or the one that must be allowed.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// The same, said of everything that must be allowed rather than of the one subject that was tried.
    pub(crate) fn of(self, allow: &str) -> Self {
        match self.what {
            What::Publish => Self { subject: allow.to_owned(), ..self },
            What::Subscribe => self,
        }
    }
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let subject = &self.subject;
        match self.what {
            What::Publish => write!(
                f,
                "this NATS user may not publish to {subject} (Permissions Violation): allow it where the user is \
                 configured; deploy/nats-users.conf lists what each program needs"
            ),
            What::Subscribe => write!(
                f,
                "this NATS user may not subscribe to {subject} (Permissions Violation), so no answer reaches it: name \
                 the prefix that it may with --nats-inbox-prefix, or allow this one where the user is configured"
            ),
        }
    }
}

/// The complaints of one connection.
#[derive(Debug, Default)]
pub(crate) struct Denials(watch::Sender<Recent>);

#[derive(Debug, Default)]
struct Recent {
    /// How many there were.
    count: u64,
    /// The newest, each with its number from 1.
    newest: VecDeque<(u64, Denied)>,
}

impl Denials {
    /// Takes note of a complaint; none when it is of another kind.
    pub(crate) fn take(&self, complaint: &str) -> Option<Denied> {
        let denied = Denied::read(complaint)?;
        self.0.send_modify(|recent| {
            recent.count += 1;
            recent.newest.push_back((recent.count, denied.clone()));
            if recent.newest.len() > REMEMBERED {
                recent.newest.pop_front();
            }
        });
        Some(denied)
    }

    /// A new connection: the user may be another one.
    pub(crate) fn forget(&self) {
        self.0.send_modify(|recent| recent.newest.clear());
    }

    /// Pays attention from now on.
    pub(crate) fn listen(&self) -> Listening {
        let recent = self.0.subscribe();
        let since = recent.borrow().count;
        Listening { recent, since }
    }
}

/// Hears the complaints that came since it began.
#[derive(Debug)]
pub(crate) struct Listening {
    recent: watch::Receiver<Recent>,
    since: u64,
}

impl Listening {
    /// Ends when publishing to a subject that begins with `subject` is denied, or was denied the inbox that answers come to:
    /// that is subscribed to once, so it need not be of late.
    pub(crate) async fn denied(mut self, subject: &str, inbox: &str) -> Denied {
        let since = self.since;
        let concerns = |recent: &Recent| {
            let mut newest = recent.newest.iter();
            let found = newest.find(|(number, denied)| match denied.what {
                What::Publish => *number > since && denied.subject.starts_with(subject),
                What::Subscribe => {
                    denied.subject.strip_prefix(inbox).is_some_and(|rest| rest.starts_with('.'))
                }
            });
            found.map(|(_, denied)| denied.clone())
        };
        loop {
            if let Some(denied) = concerns(&self.recent.borrow_and_update()) {
                return denied;
            }
            if self.recent.changed().await.is_err() {
                // The connection is gone for good, and with it whoever could complain.
                std::future::pending::<()>().await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_complaint_names_what_and_where() {
        let denied = Denied::read(r#"Permissions Violation for Publish to "hooks.a.job""#).unwrap();
        assert_eq!(denied.subject(), "hooks.a.job");
        assert!(denied.to_string().starts_with("this NATS user may not publish to hooks.a.job (Permissions"));
        let denied =
            Denied::read(r#"Permissions Violation for Subscription to "_INBOX.x.*" using queue "q""#);
        assert!(denied.unwrap().to_string().contains("subscribe to _INBOX.x.*"));
        for other in ["Maximum Payload Violation", "Permissions Violation for Publish to x", ""] {
            assert_eq!(Denied::read(other), None, "{other}");
        }
    }

    #[tokio::test]
    async fn only_what_came_since_and_concerns_the_request_is_heard() {
        let denials = Denials::default();
        let publish = |subject: &str| {
            denials.take(&format!("Permissions Violation for Publish to \"{subject}\"")).unwrap()
        };
        publish("a.b");
        let listening = denials.listen();
        publish("c");
        let silence = tokio::time::timeout(Duration::from_millis(20), listening.denied("a", "_INBOX_x"));
        assert!(silence.await.is_err());
        let listening = denials.listen();
        let denied = publish("a.b");
        assert_eq!(listening.denied("a", "_INBOX_x").await, denied);
        // The inbox is asked for once, and every request needs it.
        let inbox = denials.take(r#"Permissions Violation for Subscription to "_INBOX_x.1.*""#).unwrap();
        assert_eq!(denials.listen().denied("z", "_INBOX_x").await, inbox);
        denials.forget();
        assert!(
            tokio::time::timeout(Duration::from_millis(20), denials.listen().denied("z", "_INBOX_x"))
                .await
                .is_err()
        );
    }
}
