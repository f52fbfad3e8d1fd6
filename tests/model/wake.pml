/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The wake descriptors as a model for spin: does a reader ever sleep on although the log has something new for
 * it? As in region_log.pml nothing is limited, and all that can happen is searched; ./run breaks this model too.
 *
 * Model and code:
 *   worker     handle is handle_command() of worker.c, with tracker_watch, tracker_add_wake (HOOK) and
 *              tracker_drop_wake (UNHOOK); publish is a poll that finds something: log_writer_commit, and then
 *              tracked_region_wake for all that are hooked; set_idle is tracked_region_set_idle; start is what a
 *              new worker does in tracker_add
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

mtype = { WATCH, HOOK, UNHOOK };
chan commands = [6] of { mtype, byte };
bool attached;   /* the worker takes commands */
byte subscribed; /* a set */
byte pipe;       /* the reader's: 1 and 2 in turns */
byte next = 1;   /* of its next subscription */

bool news;            /* what the reader has not loaded */
bool publishing;      /* a generation is stored, but not seen yet */
byte wakes_under_way; /* set of pipes, written to after it */
byte woken;           /* set of pipes with a byte in them */

mtype = { IDLE, LINGERING, WATCHED };
mtype arming = IDLE; /* tracked_region::period_us, armed_till_ns */
bool followed;       /* tracked_region::followed; if not, the next poll will find something */
byte hooked;         /* tracked_region::wakes, a set of pipes */

/* Nothing more will happen by itself. */
#define QUIET \
	(attached && empty(commands) && !publishing && !wakes_under_way && (arming == IDLE || followed))

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
	wakes_under_way = wakes_under_way | hooked
}

inline handle()
{
	if
	:: commands ? WATCH, about ->
		if
		:: about -> arming = WATCHED
		:: !about && arming == WATCHED -> arming = LINGERING
		:: else
		fi
	:: commands ? HOOK, about ->
		hooked = hooked | about;
#ifndef HOOK_SILENT
		/* Something may have been published since the reader looked. */
		wakes_under_way = wakes_under_way | about
#endif
	:: commands ? UNHOOK, about -> hooked = hooked & ~about
	fi;
	about = 0
}

inline set_idle()
{
	arming = IDLE;
	followed = false
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
	hooked = 0;
	set_idle();
	publish()
}

inline attach()
{
#ifndef NOT_HOOKED_AGAIN
	if
	:: subscribed & READER -> commands ! HOOK, pipe
	:: else
	fi;
#endif
	commands ! WATCH, (subscribed -> 1 : 0);
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
	:: d_step { arming != IDLE && !publishing -> publish(); followed = true }
	:: d_step { arming == LINGERING -> set_idle() }
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
	(!((hooked | wakes_under_way) & next) && !(commands ?? [HOOK, eval(next)]) && \
		!(commands ?? [UNHOOK, eval(next)]))

inline tell(command, object)
{
	if
	:: attached -> commands ! command, object
	:: else
	fi
}

inline subscribe(who)
{
	if
	:: !subscribed -> tell(WATCH, 1)
	:: else
	fi;
	subscribed = subscribed | who
}

inline unsubscribe(who)
{
	subscribed = subscribed & ~who;
	if
	:: !subscribed -> tell(WATCH, 0)
	:: else
	fi
}

inline hook()
{
	pipe = next;
	next = 3 - pipe;
	woken = woken & ~pipe;
	tell(HOOK, pipe)
}

proctype others()
{
end:
	do
	:: d_step { !IS_SUBSCRIBED(OTHERS) && BROKER_READY -> subscribe(OTHERS) }
	:: d_step { IS_SUBSCRIBED(OTHERS) && BROKER_READY -> unsubscribe(OTHERS) }
	od
}

proctype reader()
{
end:
	do
	:: d_step { IS_SUBSCRIBED(READER) && BROKER_READY -> tell(UNHOOK, pipe); unsubscribe(READER) }
	:: d_step { IS_SUBSCRIBED(READER) && QUIET && !(woken & pipe) -> assert(!news) }
	:: if
	   :: d_step { !IS_SUBSCRIBED(READER) && BROKER_READY && NEXT_IS_NEW -> hook(); subscribe(READER) }
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
