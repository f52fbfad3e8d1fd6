# SPDX-License-Identifier: LGPL-2.1-or-later
"""Is every page where the service says that it is? Pages are known by their frames, which move with them."""

import itertools
import os

import journal
import protocol
import xenvram_pb2 as pb
from places import ANCHOR_VRAM, BACKING, PART, STRICT, VRAM
from stage import DOMID, Violation, wait_until

PIN_TYPES = {pb.UC: 0, pb.WC: 1, pb.WT: 4, pb.WP: 5, pb.WB: 6, pb.UC_MINUS: 7}


def some(gfns):
    gfns = sorted(gfns)
    return f"{len(gfns)} gfns: {', '.join(hex(gfn) for gfn in gfns[:5])}"


def live(region):
    """The pages that were not destroyed."""
    return [i for run in region.extents for i in range(run.first, run.first + run.nr_pages)]


def home_of(region):
    """Where its pages were born."""
    return BACKING if region.adopted else region.backing_gfn


def read_map(stage, region):
    """Its worker may be on its way."""
    runs = []

    def is_read():
        try:
            runs[:] = stage.client.map(region.cookie)
            return True
        except protocol.Failed as failed:
            if failed.status != pb.RETRY:
                raise
            return False

    wait_until(is_read, "the region is mapped")
    return runs


def check_contested(stage, region, page, gfn, found):
    """It is at one of its places, a stranger is at another, and said is the first of these that is no hole."""
    places = [region.vram_gfn, *([region.old_vram_gfn] if region.between else []), home_of(region)]
    taken = [place + page for place in places if place + page in found or place + page in stage.strangers]
    frames = [found.get(taken_gfn) for taken_gfn in taken]
    if len(taken) < 2 or taken[0] != gfn or stage.home[home_of(region) + page] not in frames:
        raise Violation(f"page {page}, at {gfn:#x}, is said to be contested, and found is something at {taken}")


def check_map(stage, region, found):
    """Is each page where MapRegion says?"""
    bases = {pb.AT_VRAM: region.vram_gfn, pb.AT_BACKING: region.backing_gfn, pb.AT_OLD_VRAM: region.old_vram_gfn}
    seen = []
    stage.view.clear_faults()
    for first, nr_pages, place, gfn in read_map(stage, region):
        if place == pb.CONTESTED:
            for i in range(nr_pages):
                check_contested(stage, region, first + i, gfn + i, found)
            seen += range(first, first + nr_pages)
            continue
        if place not in bases or bases[place] + first != gfn:
            raise Violation(f"the map has pages from {first} on at {pb.PagePlace.Name(place)}, {gfn:#x}")
        for i in range(nr_pages):
            seen.append(first + i)
            if found.get(gfn + i) != stage.home[home_of(region) + first + i]:
                raise Violation(f"page {first + i} is not at {gfn + i:#x}, where the map has it")
    if seen != live(region):
        raise Violation("the map has other pages than the listing")


def places_of(region):
    return [region.vram_gfn, region.old_vram_gfn] if region.between else [region.vram_gfn]


def place_of(region, page, found, frame):
    """Of a stuck region pages may be at any of its places."""
    places = places_of(region)
    if region.state != pb.ACTIVE:
        places = [place for place in places if found.get(place + page) == frame]
    return places[0] + page if places else home_of(region) + page


def pages_found(stage):
    """{gfn: frame}, of which none is lost and none there twice"""
    found = stage.pages()
    lost = set(stage.home.values()) - set(found.values())
    if lost or len(found) != len(stage.home):
        at = [gfn for gfn, frame in stage.home.items() if frame in lost]
        raise Violation(f"{len(found)} pages, of {len(stage.home)}; lost are those that were at {some(at)}")
    if not stage.strangers.items() <= stage.view.pages(DOMID).items():
        raise Violation(f"something was moved onto a page of somebody else, {some(stage.strangers)}")
    return found


def check_pages(stage, regions, moved=()):
    """None lost, none twice, each region's where its state says, these moved without one, all others at home."""
    found = pages_found(stage)
    expected = dict(stage.home)
    for region in regions:
        for page in live(region):
            home = home_of(region) + page
            expected[place_of(region, page, found, stage.home[home])] = expected.pop(home)
        check_map(stage, region, found)
    for page in moved:
        expected[VRAM + page] = expected.pop(BACKING + page)
    wrong = {gfn for gfn in set(expected) | set(found) if expected.get(gfn) != found.get(gfn)}
    if wrong:
        states = [pb.RegionState.Name(region.state) for region in regions]
        raise Violation(f"pages are not where regions {states} have them, {some(wrong)}")


def pins_of(region):
    return [(region.vram_gfn + r.first, region.vram_gfn + r.first + r.nr_pages - 1) for r in region.extents]


def is_in(pin, region):
    return any(place <= pin[0] and pin[1] < place + region.nr_pages for place in places_of(region))


def possible_pins(region):
    """Of one that is stuck: of a run of its pages, or of what is to stay of it, at the one place or at the other."""
    runs = [(run.first, run.first + run.nr_pages) for run in region.extents]
    for first, end in runs[:]:
        if first <= PART.start and PART.stop <= end:
            runs += [(first, PART.start), (PART.stop, end)]
    return {(place + first, place + end - 1) for place in places_of(region) for first, end in runs}


def check_pins_of_stuck(region, listed, found):
    """The service makes no claim about them, and has set no others."""
    if region.pinned or any(pin.settled for pin in listed if pin.cookie == region.cookie):
        raise Violation(f"of region {region} it is said that it is pinned, or what of it is: {listed}")
    possible = {pin: PIN_TYPES[region.cache_attr] for pin in possible_pins(region)}
    if not found.items() <= possible.items():
        raise Violation(f"pinned is {found} of a stuck region of which only {possible} can be")


def check_pins_of_active(stage, region, found):
    """On every extent, unless the hypervisor was to refuse one, and the region does not insist."""
    lacking = {pin for pin in pins_of(region) if found.get(pin) != PIN_TYPES[region.cache_attr]}
    if lacking and (region.cache_attr == STRICT or "pin" not in stage.view.armed):
        raise Violation(f"pinned is {found}; of region {region} {lacking} is not")


def check_pins(stage, regions):
    """All that are listed, and no others; of a region, all that it must have, or if it is stuck, none that it cannot."""
    listed = stage.client.pins(DOMID)
    expected = {(pin.first_gfn, pin.first_gfn + pin.nr_pages - 1): PIN_TYPES[pin.cache_attr] for pin in listed}
    found = stage.view.pins(DOMID)
    for region in regions:
        if region.state == pb.REGION_STUCK:
            check_pins_of_stuck(region, listed, {pin: kind for pin, kind in found.items() if is_in(pin, region)})
            expected = {pin: kind for pin, kind in expected.items() if not is_in(pin, region)}
            found = {pin: kind for pin, kind in found.items() if not is_in(pin, region)}
            continue
        check_pins_of_active(stage, region, found)
        if region.pinned != all(pin in expected for pin in pins_of(region)):
            raise Violation(f"pinned is said to be {region.pinned} of a region of which the pins {expected} are listed")
    if found != expected:
        raise Violation(f"pinned is {found}, listed are {expected}")


def page_in_place(stage, region, run):
    """(page, gfn) of the run's first one that is followed where it is; None if all of them are home."""
    found = stage.view.pages(DOMID)
    for page, place in itertools.product(range(run.first, run.first + run.nr_pages), places_of(region)):
        if found.get(place + page) == stage.home[home_of(region) + page]:
            return page, place + page
    return None


def read_dirty(stage, region, since=0):
    """(pages, generation), by a poll of the hypervisor; its worker may be on its way."""
    snapshot = lambda: stage.client.snapshot(region.cookie, since, sync=True)
    return attempt("a snapshot", protocol.until_answered, snapshot)


def check_followed(stage, regions):
    """What the guest writes to now is dirty, and no page that is no more."""
    stage.view.clear_faults()
    for region in regions:
        _, since = read_dirty(stage, region)
        written = [page for page in (page_in_place(stage, region, run) for run in region.extents) if page]
        for _, gfn in written:
            stage.view.write(DOMID, gfn)
        dirty, _ = read_dirty(stage, region, since)
        if not {page for page, _ in written} <= set(dirty) <= set(live(region)):
            raise Violation(f"the guest wrote to pages {written} of region {region}, and dirty are {dirty}")


def region_record(stage, region, listed_pins, found):
    """What the journal must have of a region at rest; of a stuck one the listing does not say what it is stuck in."""
    live = tuple((run.first, run.nr_pages) for run in region.extents)
    pins = {pin.first_gfn: pin.nr_pages for pin in listed_pins if pin.cookie == region.cookie}
    stuck = region.state == pb.REGION_STUCK
    flags = journal.REQUIRE_CACHE_ATTR if region.cache_attr == STRICT else 0
    flags |= journal.ADOPTED if region.adopted else 0
    flags |= journal.BETWEEN if region.between else 0
    flags |= found.flags & journal.ENDING if stuck else 0
    return journal.RegionRecord(
        cookie=region.cookie,
        vram_gfn=region.vram_gfn,
        backing_gfn=region.backing_gfn,
        nr_pages=region.nr_pages,
        domid=region.domid,
        state=region.state,
        cache_attr=region.cache_attr,
        owner_uid=region.owner_uid,
        flags=flags,
        uuid=stage.uuid,
        old_vram_gfn=region.old_vram_gfn,
        frontier=0 if stuck else region.nr_pages,
        unsettled=region.nr_pages if stuck else 0,
        going=found.going if stuck else (0, 0),
        live=live,
        pinned=sum(1 << i for i, run in enumerate(live) if pins.get(region.vram_gfn + run[0]) == run[1]),
        requester=(os.getuid(), os.getpid()),
    )


def check_stuck_record(record):
    """It is stuck in the destruction of all of it, or of a part, or in a move."""
    part = record.going == (PART.start, len(PART))
    between = bool(record.flags & journal.BETWEEN)
    if not (record.flags & journal.ENDING or part != between) or not (part or record.going == (0, 0)):
        raise Violation(f"what the region is stuck in, the journal does not tell: {record}")


def check_journal(stage, regions):
    """It has all that is listed, as it is listed, and nothing else."""
    records = journal.records(stage.journal)
    if any(magic == journal.MOVE_MAGIC for magic, _ in journal.slots(stage.journal)):
        raise Violation("the journal has a move, and none is under way")
    of_regions = [record for record in records if isinstance(record, journal.RegionRecord)]
    of_pins = [record for record in records if isinstance(record, journal.PinRecord)]
    if sorted(record.cookie for record in of_regions) != [region.cookie for region in regions]:
        raise Violation(f"the journal has regions {of_regions}, the listing {regions}")
    listed_pins = stage.client.pins(DOMID)
    for region, found in zip(regions, sorted(of_regions)):
        expected = region_record(stage, region, listed_pins, found)
        if found != expected:
            raise Violation(f"the journal has {found}, and should have {expected}")
        if region.state == pb.REGION_STUCK:
            check_stuck_record(found)
    # The old type means something only while the new one is being set.
    requester = os.getuid(), os.getpid()
    expected = [
        (pin.first_gfn, pin.nr_pages, DOMID, journal.PIN_SET, pin.cache_attr, pin.owner_uid, stage.uuid, requester)
        for pin in listed_pins
        if not pin.cookie
    ]
    found = sorted((*record[:5], *record[6:]) for record in of_pins)
    if found != expected:
        raise Violation(f"the journal has pins {found}, and should have {expected}")


def is_possible(name, message, cookie, listed):
    """Can this be, of the request, if nobody knows what came of it?"""
    if name == "create_region":
        return not message.dry_run or not listed
    cookies = [region.cookie for region in listed]
    if name == "destroy_region" and not message.nr_pages:
        return cookies in ([], [cookie])
    if cookies != [cookie] or name == "move_region" or listed[0].state == pb.REGION_STUCK:
        return cookies == [cookie]
    return len(set(PART) & set(live(listed[0]))) in (0, len(PART))


def check_answer(name, message, cookie, reply, regions):
    """Does what the client was told agree with what is so? No reply: it was told that nobody knows."""
    listed = [r for r in regions if r.vram_gfn != ANCHOR_VRAM]
    if len(listed) > 1:
        raise Violation(f"{len(listed)} regions are listed")
    states = [region.state for region in listed]
    if reply is None:
        if not is_possible(name, message, cookie, listed):
            raise Violation(f"{name} left regions {listed}")
        return
    said = f"the answer is {pb.Status.Name(reply.status)} ({reply.message}), the regions' states {states}"
    if reply.status == pb.STUCK:
        good = states == [pb.REGION_STUCK]
    elif name == "create_region":
        if reply.status != pb.OK:
            good = not listed
        elif message.dry_run:
            good = not listed
        else:
            good = states == [pb.ACTIVE] and listed[0].cookie == reply.create_region.cookie
    elif name == "move_region" and reply.status == pb.OK:
        good = states == [pb.ACTIVE] and listed[0].vram_gfn == message.vram_gfn
    elif name == "destroy_region" and reply.status == pb.OK and message and message.nr_pages:
        good = states == [pb.ACTIVE] and not set(PART) & set(live(listed[0]))
    elif reply.status == pb.OK:
        good = not listed
    else:
        good = [region.cookie for region in listed] == [cookie]
    if not good:
        raise Violation(said)


def what_is(stage):
    """All that a request which fails leaves as it was: regions by their cookies, and the host's pins."""
    regions = {
        region.cookie: (
            pb.RegionState.Name(region.state),
            region.vram_gfn,
            region.old_vram_gfn,
            [(run.first, run.nr_pages) for run in region.extents],
            region.pinned,
        )
        for region in stage.settled_regions()
    }
    return regions, stage.view.pins(DOMID)


def stuck_in(regions):
    return {cookie for cookie, (state, *_) in regions.items() if state == "REGION_STUCK"}


def check_refusal(stage, before, reply):
    """A failure has left everything as it was; unless it says STUCK, which what has become stuck must say."""
    if reply is None or reply.status == pb.STUCK:
        return
    now = what_is(stage)
    said = f"the answer is {pb.Status.Name(reply.status)} ({reply.message})"
    if stuck_in(now[0]) - stuck_in(before[0]):
        raise Violation(f"{said}, and stuck is what was not: {now}")
    # An attempt that failed has put together what was stuck.
    is_healed = stuck_in(before[0]) - stuck_in(now[0])
    if reply.status != pb.OK and now != before and not is_healed:
        raise Violation(f"{said}, and what was {before} is {now}")


def check(stage, name, message, cookie, reply, is_written=True):
    regions = stage.settled_regions()
    check_answer(name, message, cookie, reply, regions)
    check_pages(stage, regions)
    check_pins(stage, regions)
    if is_written:
        check_journal(stage, regions)
    return [region for region in regions if region.vram_gfn != ANCHOR_VRAM]


def attempt(what, function, *arguments):
    try:
        return function(*arguments)
    except protocol.Failed as failed:
        raise Violation(f"{what}, with nothing in its way, fails: {failed}") from None
    except (protocol.Restarted, protocol.Closed, TimeoutError) as error:
        raise Violation(f"{what}, with nothing in its way: {type(error).__name__} {error}") from None


def can_be_asked_again(name, message, left):
    if name == "destroy_region" and message.nr_pages:
        return any(set(PART) <= set(live(region)) for region in left)
    return bool(left) and name != "create_region"


def check_recovery(stage, name, message, left, again):
    """What is left can be finished, or else undone, what was undone can be done again; then all is as it was born."""
    stage.clear_way()
    if again and can_be_asked_again(name, message, left):
        reply = attempt("asking again", stage.client.call, name, message)
        left = check(stage, name, message, message.cookie, reply)
    if name == "create_region" and not left:
        stage.view.armed.clear()
        reply = attempt("creating again", stage.client.call, name, message)
        if not message.dry_run:
            left = check(stage, name, message, None, reply)
    for region in left:
        attempt("destroying again", stage.client.destroy, region.cookie)
    if check(stage, "destroy_region", None, None, pb.Reply()):
        raise Violation("a region is left")


def check_dying(stage):
    """Regions of a domain that is dying may be forgotten; but its pages are all there, those of listed ones in place."""
    found = pages_found(stage)
    for region in stage.settled_regions():
        for page in live(region):
            frame = stage.home[home_of(region) + page]
            if found.get(place_of(region, page, found, frame)) != frame:
                raise Violation(f"page {page} of a region that is {pb.RegionState.Name(region.state)} is not in its place")


def check_gone(stage):
    """The domain died: so did all that was its, and its domid can be used again."""
    regions = []

    def none_left():
        regions[:] = attempt("listing", stage.client.regions)
        return not regions

    wait_until(none_left, "the regions of the dead domain go")
    wait_until(lambda: not journal.slots(stage.journal), "nothing of the dead domain is in the journal")
    stage.view.clear_faults()
    stage.add_domain()
