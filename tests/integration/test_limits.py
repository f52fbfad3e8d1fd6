# SPDX-License-Identifier: LGPL-2.1-or-later
"""Every cap holds, and who runs into it is told who, how much, and how much is allowed."""

import errno
import os
import unittest

import xenvram_pb2 as pb
from harness import SimTest
from waiting import wait_for

VRAM, BACKING = 0xF0000, 0x400
MAX_REGIONS = 1024
MAX_REGIONS_PER_DOMAIN = 16
MAX_SUBSCRIPTIONS_PER_CONNECTION = 64
MAX_SUBSCRIPTIONS_PER_DOMAIN = 256
MAX_LISTED = 128


class Limits(SimTest):
    def test_regions_of_a_domain(self):
        domain = self.add_domain(1)
        before = domain.contents()
        asker = self.client()
        cookies = [asker.create(1, VRAM + 2 * i, BACKING + i, 1).cookie for i in range(MAX_REGIONS_PER_DOMAIN)]
        free = (1, VRAM + 0x1000, BACKING + 0x100, 1)
        message = self.refused(pb.LIMIT, errno.EDQUOT, asker.create, *free)
        for word in ("domain 1", "16 regions", "at most 16"):
            self.assertIn(word, message)
        self.add_domain(2)
        asker.create(2, VRAM, BACKING, 1)
        asker.destroy(cookies.pop())
        cookies.append(asker.create(*free).cookie)
        for cookie in cookies:
            asker.destroy(cookie)
        self.assert_contents(before, domain)

    def test_subscriptions(self):
        self.add_domain(1)
        asker = self.client()
        cookies = [asker.create(1, VRAM + i, BACKING + i, 1).cookie for i in range(2)]

        def subscribe(client, cookie):
            subscription = client.subscribe(cookie, 1000000, want_wake=True)
            os.close(subscription.log_fd)
            os.close(subscription.wake_fd)
            return subscription

        clients = []
        for i in range(MAX_SUBSCRIPTIONS_PER_DOMAIN // MAX_SUBSCRIPTIONS_PER_CONNECTION):
            clients.append(self.client())
            mine = [subscribe(clients[i], cookies[i % 2]) for _ in range(MAX_SUBSCRIPTIONS_PER_CONNECTION)]
            message = self.refused(pb.LIMIT, errno.EDQUOT, subscribe, clients[i], cookies[0])
            for word in (f"this connection of uid {os.getuid()} has", "64 subscriptions", "at most 64"):
                self.assertIn(word, message)
        message = self.refused(pb.LIMIT, errno.EDQUOT, subscribe, asker, cookies[1])
        for word in ("domain 1", "256 subscriptions", "at most 256"):
            self.assertIn(word, message)
        clients[-1].unsubscribe(mine[0])
        subscribe(asker, cookies[0])
        self.refused(pb.LIMIT, errno.EDQUOT, subscribe, clients[-1], cookies[0])
        clients[0].close()
        wait_for(lambda: sum(r.subscriptions for r in asker.regions()) == 192, "a connection's subscriptions end")
        subscribe(clients[-1], cookies[0])


class OnTheHost(SimTest):
    """The whole host's regions, and lists of more than one page."""

    host_options = {"domains": 65}

    def test_regions_of_the_host(self):
        n_domains = MAX_REGIONS // MAX_REGIONS_PER_DOMAIN
        asker = self.client()
        for domid in range(1, n_domains + 2):
            self.host.simxen("create", str(domid), "--ram-mib", "1")
        cookies = []
        for domid in range(1, n_domains + 1):
            serials = []
            for i in range(MAX_REGIONS_PER_DOMAIN):
                request = pb.CreateRegion(domid=domid, vram_gfn=VRAM + i, backing_gfn=0x10 + i, nr_pages=1)
                serials.append(asker.start("create_region", request))
            for serial in serials:
                reply, _ = asker.finish(serial)
                self.assertEqual(reply.status, pb.OK, reply.message)
                cookies.append(reply.create_region.cookie)

        first = asker.call("list_regions", pb.ListRegions()).list_regions
        self.assertEqual((len(first.regions), first.more), (MAX_LISTED, True))
        self.assertEqual([r.cookie for r in asker.regions()], sorted(cookies))
        self.assertEqual([d.domid for d in asker.domains()], list(range(1, n_domains + 1)))

        beyond = (n_domains + 1, VRAM, 0x10, 1)
        message = self.refused(pb.LIMIT, errno.EDQUOT, asker.create, *beyond)
        for word in ("domain 65: this host", "1024 regions", "at most 1024"):
            self.assertIn(word, message)
        asker.destroy(cookies[0])
        asker.create(*beyond)


if __name__ == "__main__":
    unittest.main()
