"""What leaves this house for people: mail, and warnings of clocks along the chain.

In: addresses, codes, clocks that come due. Out: messages over SMTP, a webhook or a command. No
address ever appears in a log or an exception; what was sent to whom stands in the ledger, sealed.
"""

from dsr_worker.notify.mail import Mailer, MailSession, Sent
from dsr_worker.notify.texts import MailText, Texts

__all__ = ["MailSession", "MailText", "Mailer", "Sent", "Texts"]
