/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The wake descriptors as a model for spin: does a reader ever sleep on although the log has something new for
 * it? As in region_log.pml nothing is limited, and all that can happen is searched; ./run breaks this model too.
 *
 * Model and code:
 *   worker     handle is command_carry_out() with tracker_add for a region that is there (ATTACH),
 *              tracker_add_reader (ADD) and tracker_drop_reader (DROP); publish is a poll that finds something:
 *              log_writer_commit, and then stale for all whose pages it has; wake is tracked_region_wake, later by
 *              as much as a reader's period asks for; set_idle is tracked_region_describe when nothing is wanted
 *              any more; start is what a new worker does in tracker_add
 *   broker     attach is attach() of region_work.c, after a crash of the worker or of the broker itself;
 *              subscribe and unsubscribe are subscription_create and subscription_end
 *   memory     lets readers see the generation, and after it the bytes in their pipes
 *   reader     xenvram_subscribe; xenvram_view_drain and xenvram_view_read, each time that it is woken, and when
 *              it likes; perhaps xenvram_unsubscribe, and all over again
 *   others     other readers of the region, for whom it may be watched already
 *
 * For the reader the log is one bit: is there a generation that it has not loaded? Its pipe is one bit as well: a
 * full one wakes no less. Each of its subscriptions has a new pipe.
 */

#define READER 1 /* as sets */
#define OTHERS 2

/* The worker's readers, as sets: those with a pipe, and one that has none. */
#define PIPES     3
#define WITHOUT_PIPE 4

mtype = { ATTACH, ADD, DROP };
chan commands = [6] of { mtype, byte };
bool attached;   /* the worker takes commands */
byte subscribed; /* a set */
byte pipe;       /* the reader's: 1 and 2 in turns */
byte next = 1;   /* of its next subscription */

bool news;            /* what the reader has not loaded */
bool publishing;      /* a generation is stored, but not seen yet */
byte wakes_under_way; /* set of pipes, written to after it */
byte woken;           /* set of pipes with a byte in them */

byte readers;   /* tracked_region::readers */
bool lingering; /* tracked_region::lingering */
byte stale;     /* set of pipes: reader::stale */
bool followed;  /* tracked_region::followed; if not, the next poll will find something */

#define WANTED (readers || lingering)

/* Nothing more will happen by itself. */
#define QUIET \
	(attached && empty(commands) && !publishing && !stale && !wakes_under_way && (!WANTED || followed))

#ifdef WAKE_EARLY
#define SAID true
#else
#define SAID (!publishing)
#endif

proctype memory()
{
end:
	do
	:: d_step { publishing -> publishing = false; news = true }
	:: d_step { wakes_under_way && SAID -> woken = woken | wakes_under_way; wakes_under_way = 0 }
	od
}

/* ---- the worker ---- */

inline publish()
{
	publishing = true;
#ifdef WAKE_DROPPED
	/* Who was woken a moment ago is not told. */
	if
	:: true
	:: stale = readers & PIPES
	fi
#else
	stale = readers & PIPES
#endif
}

inline wake()
{
	wakes_under_way = wakes_under_way | stale;
	stale = 0
}

inline drop(which)
{
	lingering = lingering || (readers & (which));
	readers = readers & ~(which);
	stale = stale & ~(which)
}

inline handle()
{
	if
	:: commands ? ATTACH, about -> drop(PIPES | WITHOUT_PIPE)
	:: commands ? ADD, about ->
		readers = readers | about;
#ifndef HOOK_SILENT
		/* Something may have been published since the reader looked. */
		stale = stale | (about & PIPES)
#endif
	:: commands ? DROP, about -> drop(about)
	fi;
	about = 0
}

inline set_idle()
{
	lingering = false;
	followed = followed && readers
}

inline drop_commands()
{
	do
	:: commands ? _, _
	:: empty(commands) -> break
	od
}

inline start()
{
	readers = 0;
	stale = 0;
	set_idle();
	publish()
}

inline attach()
{
	commands ! ATTACH, 0;
#ifndef NOT_HOOKED_AGAIN
	if
	:: subscribed & READER -> commands ! ADD, pipe
	:: else
	fi;
#endif
	if
	:: subscribed & OTHERS -> commands ! ADD, WITHOUT_PIPE
	:: else
	fi;
	attached = true
}

proctype worker()
{
	byte about;

	d_step { start() }
end:
	do
	:: d_step { !attached -> attach() }
	:: d_step { nempty(commands) -> handle() }
	:: d_step { WANTED && !publishing -> publish(); followed = true }
	:: d_step { stale -> wake() }
	:: d_step { lingering -> set_idle() }
	/* It crashes, perhaps between a generation and its wake-ups. */
	:: d_step { true -> drop_commands(); attached = false; publishing = false; wakes_under_way = 0; start() }
	/* The broker crashes. */
	:: d_step { true -> drop_commands(); attached = false }
	od
}

/* ---- readers ---- */

#define IS_SUBSCRIBED(who) (subscribed & (who))
#define BROKER_READY       (len(commands) <= 4)
/* Pipes are used again here, but not before all trace of the last time is gone. */
#define NEXT_IS_NEW \
	(!((readers | stale | wakes_under_way) & next) && !(commands ?? [ADD, eval(next)]) && \
		!(commands ?? [DROP, eval(next)]))

inline tell(command, object)
{
	if
	:: attached -> commands ! command, object
	:: else
	fi
}

inline subscribe(who, object)
{
	subscribed = subscribed | who;
	tell(ADD, object)
}

inline unsubscribe(who, object)
{
	subscribed = subscribed & ~who;
	tell(DROP, object)
}

inline new_pipe()
{
	pipe = next;
	next = 3 - pipe;
	woken = woken & ~pipe
}

proctype others()
{
end:
	do
	:: d_step { !IS_SUBSCRIBED(OTHERS) && BROKER_READY -> subscribe(OTHERS, WITHOUT_PIPE) }
	:: d_step { IS_SUBSCRIBED(OTHERS) && BROKER_READY -> unsubscribe(OTHERS, WITHOUT_PIPE) }
	od
}

proctype reader()
{
end:
	do
	:: d_step { IS_SUBSCRIBED(READER) && BROKER_READY -> unsubscribe(READER, pipe) }
	:: d_step { IS_SUBSCRIBED(READER) && QUIET && !(woken & pipe) -> assert(!news) }
	:: if
	   :: d_step { !IS_SUBSCRIBED(READER) && BROKER_READY && NEXT_IS_NEW -> new_pipe(); subscribe(READER, pipe) }
	   :: IS_SUBSCRIBED(READER)
	   fi;
#ifdef DRAIN_LATE
		news = false;
		woken = woken & ~pipe
#else
		woken = woken & ~pipe;
		news = false
#endif
	od
}

init
{
	atomic {
		run memory();
		run worker();
		run others();
		run reader()
	}
}
