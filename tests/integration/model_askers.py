# SPDX-License-Identifier: LGPL-2.1-or-later
"""Who asks through a connection, and what it may ask for."""

import errno

import xenvram_pb2 as pb
from model import DONE, INVALID, MAX_DOMID, NO_DOMAIN


class Asker:
    """An administrator, until the connection is bound to a domain for good."""

    def __init__(self):
        self.domain = None

    def sees(self, domain):
        """Are the domain's regions there for it? To others they do not exist."""
        return self.domain is None or self.domain is domain

    def refusal(self, model, domid):
        """Of what names a domid, unless it is wrong in itself; None: it may."""
        if self.domain is None:
            return None
        if domid != self.domain.domid:
            return pb.PERMISSION_DENIED, errno.EPERM
        if model.domains.get(domid) is not self.domain:
            return NO_DOMAIN
        return None

    def look(self, model, domid, answer=DONE):
        """
        The answers that there may be to what changes nothing. That another domain has the domid now may not have
        come to the daemon's ears, if the old one had nothing: then there is nothing to be seen.
        """
        refusal = self.refusal(model, domid)
        return {NO_DOMAIN, answer} if refusal == NO_DOMAIN else {refusal or answer}

    def predict_bind(self, model, domid, follows):
        """The answers that there may be; `follows`: the connection has subscriptions or tracked ranges."""
        if domid > MAX_DOMID:
            return {INVALID}
        if self.domain:
            return self.look(model, domid)
        if follows:
            return {(pb.CONFLICT, errno.EBUSY)}
        return {DONE if domid in model.domains else NO_DOMAIN}
