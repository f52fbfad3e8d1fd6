# SPDX-License-Identifier: LGPL-2.1-or-later
"""Pins of memory types outside of regions."""

import errno

import xenvram_pb2 as pb
from model import DONE, INVALID, MAX_DOMID, MAX_GFN, NO_DOMAIN, NOT_FOUND, PIN_TYPES, UNSUPPORTED_DOMAIN
from model import Model, overlap


def _bounds(request):
    return request.first_gfn, request.first_gfn + request.nr_pages - 1


def _wrong_in_itself(request):
    return request.domid > MAX_DOMID or request.nr_pages == 0 or request.first_gfn + request.nr_pages > MAX_GFN


def predict_pin(model, asker, request):
    if _wrong_in_itself(request):
        return INVALID
    refusal = asker.refusal(model, request.domid)
    if refusal:
        return refusal
    domain = model.domains.get(request.domid)
    if domain is None:
        return NO_DOMAIN
    wanted = (request.first_gfn, request.nr_pages)
    vram = [(region.vram + first, n) for region in domain.regions for first, n in region.runs]
    others = [(first, last - first + 1) for first, last in domain.raw_pins]
    if any(overlap(*wanted, *theirs) for theirs in vram + [pin for pin in others if pin != wanted]):
        return pb.CONFLICT, errno.EBUSY
    if wanted not in others and domain.is_full_of_pins():
        return pb.LIMIT, errno.EDQUOT
    if domain.pv:
        return UNSUPPORTED_DOMAIN
    error = Model.pin_error(domain, _bounds(request))
    return (pb.HYPERVISOR, error) if error else DONE


def do_pin(model, request):
    domain = model.domains[request.domid]
    domain.raw_pins[_bounds(request)] = request.cache_attr
    domain.pins[_bounds(request)] = PIN_TYPES[request.cache_attr]


def predict_unpin(model, asker, request):
    """The answers that there may be."""
    if _wrong_in_itself(request):
        return {INVALID}
    domain = model.domains.get(request.domid)
    known = domain is not None and _bounds(request) in domain.raw_pins
    return asker.look(model, request.domid, DONE if known else NOT_FOUND)


def do_unpin(model, request):
    domain = model.domains[request.domid]
    del domain.raw_pins[_bounds(request)]
    del domain.pins[_bounds(request)]


def predict_list(model, asker, domid):
    return {INVALID} if domid > MAX_DOMID else asker.look(model, domid)


def listed(domain):
    """[(first gfn, pages, cache_attr, cookie)] that must be in the list, and settled"""
    pins = [(bounds, attr, 0) for bounds, attr in domain.raw_pins.items()]
    pins += [(bounds, r.cache_attr, r.cookie) for bounds, r in domain.pins_of_regions().items()]
    return sorted((first, last - first + 1, attr, cookie) for (first, last), attr, cookie in pins)
