# SPDX-License-Identifier: LGPL-2.1-or-later
"""Moves of pages outside of regions."""

import errno

import xenvram_pb2 as pb
from model import DONE, INVALID, MAX_DOMID, MAX_GFN, MAX_REGION_PAGES, NO_DOMAIN, UNSUPPORTED_DOMAIN, overlap


def _meant_region(domain, request):
    """That whose backing is the source: the guest has moved its framebuffer."""
    for region in domain.regions:
        is_whole = region.runs == [(0, region.nr_pages)]
        if region.state == pb.ACTIVE and is_whole and not region.adopted:
            if (region.backing, region.nr_pages) == (request.source_gfn, request.nr_pages):
                return region
    return None


def _wrong_in_itself(request):
    source, destination, n = request.source_gfn, request.destination_gfn, request.nr_pages
    if request.domid > MAX_DOMID or n == 0 or n > MAX_REGION_PAGES:
        return True
    return max(source, destination) + n > MAX_GFN or overlap(source, n, destination, n)


def predict_move_ram(model, asker, request):
    """The answer, or a set of those that there may be."""
    if _wrong_in_itself(request):
        return INVALID
    if request.force and asker.domain:
        return asker.look(model, request.domid, (pb.PERMISSION_DENIED, errno.EPERM))
    refusal = asker.refusal(model, request.domid)
    if refusal:
        return refusal
    domain = model.domains.get(request.domid)
    if domain is None:
        return NO_DOMAIN
    region = _meant_region(domain, request)
    if region:
        return model.predict_move(asker, domain, region, request.destination_gfn)
    n = request.nr_pages
    ends = [(request.source_gfn, n), (request.destination_gfn, n)]
    if any(overlap(*end, *claim) for end in ends for claim in domain.claims()):
        return pb.CONFLICT, errno.EBUSY
    if domain.pv:
        return UNSUPPORTED_DOMAIN
    if any(request.source_gfn + i not in domain.frames for i in range(n)):
        return pb.CONFLICT, errno.ENXIO
    if not request.force and any(request.destination_gfn + i in domain.frames for i in range(n)):
        return pb.CONFLICT, errno.EEXIST
    return DONE


def do_move_ram(model, request):
    """After it was not refused. The answer: that of a region's move, if it is one."""
    domain = model.domains[request.domid]
    region = _meant_region(domain, request)
    if region:
        return model.do_move(domain, region, request.destination_gfn)
    for i in range(request.nr_pages):
        domain.frames[request.destination_gfn + i] = domain.frames.pop(request.source_gfn + i)
        for tracked in domain.ranges:
            tracked.owe(request.source_gfn + i)
            tracked.owe(request.destination_gfn + i)
    return DONE


def predict_map_ram(model, asker, request):
    if _wrong_in_itself(request):
        return INVALID
    refusal = asker.refusal(model, request.domid)
    if refusal:
        return refusal
    return UNSUPPORTED_DOMAIN if model.domains[request.domid].pv else DONE
