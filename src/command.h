/* command.h: what the parts that follow commands share; of those alone.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef LSSB_COMMAND_H
#define LSSB_COMMAND_H

#include "internal.h"

#define COMMAND_TIMEOUT_S 60
#define COMMAND_IDLE_S 300
#define COMMAND_KEEP_S 600
#define COMMAND_OPEN_MS 120000      /* for all attempts to start it */
#define COMMAND_FAILURES 5          /* in a row, once it was started */
#define COMMAND_PING_MS 30000
#define COMMAND_KILL_MS 10000       /* from a kill to its exit code */
#define COMMAND_QUIET_MS 10000      /* an older server, of a quiet command:
                                       then it is followed */
#define COMMAND_CLOSE_MS 10000      /* for the closing handshake */
#define COMMAND_GRACE_MS 60000      /* lssb_run, beyond the command's time */
#define COMMAND_RELOAD_MS 1000      /* between two that go at once */
#define COMMAND_SILENCE_MS 2000     /* an older server does not greet */
#define COMMAND_HELD_MS 10          /* until bytes are offered again */
#define COMMAND_ROUNDS 16           /* of receiving, before others' turn */
#define COMMAND_MARGIN 16           /* bytes of a message that may yield one
                                       more character than they are long */

enum command_phase {
    COMMAND_OPENING = 0,            /* until `started` */
    COMMAND_ATTACHING,              /* lssb_command_reattach, until a message */
    COMMAND_FOLLOWING,
    COMMAND_OVER
};

/* What a message is. */
enum command_type {
    COMMAND_TYPE_NONE = 0,
    COMMAND_TYPE_STARTED,
    COMMAND_TYPE_STDOUT,
    COMMAND_TYPE_STDERR,
    COMMAND_TYPE_EXIT,
    COMMAND_TYPE_ERROR,
    COMMAND_TYPE_AGENT_DATA,
    COMMAND_TYPE_AGENT_CLOSE,
    COMMAND_TYPE_OTHER
};

/* What goes out. */
enum command_sending {
    COMMAND_SEND_NOTHING = 0,
    COMMAND_SEND_EXECUTE,
    COMMAND_SEND_RECONNECT,
    COMMAND_SEND_KILL,
    COMMAND_SEND_RESIZE,
    COMMAND_SEND_CLOSE_STDIN
};

/* In `flags`: the command. */
#define COMMAND_INPUT_OPEN 0x1u     /* may be written to */
#define COMMAND_PTY 0x2u
#define COMMAND_PUSH 0x4u           /* output goes to callbacks and buffers */
#define COMMAND_HELD 0x8u           /* by an lssb_command */
#define COMMAND_KILL 0x10u          /* wanted */
#define COMMAND_END_INPUT 0x40u     /* wanted, on every connection */
#define COMMAND_RESIZE 0x80u        /* wanted */
#define COMMAND_DRAIN 0x100u        /* somebody waits for the end alone */
#define COMMAND_LEAVE 0x200u        /* the caller lets go */
#define COMMAND_REATTACH 0x400u     /* `reconnect` begins a connection */
/* Its connection. */
#define COMMAND_BEGUN 0x1000u       /* the first message went out */
#define COMMAND_GREETED 0x2000u     /* the first message came */
#define COMMAND_KILL_PUT 0x4000u    /* the kill is with the connection */
#define COMMAND_KILL_GONE 0x8000u   /* and with the socket */
#define COMMAND_END_PUT 0x10000u    /* the end of input likewise */
#define COMMAND_INPUT_PUT 0x20000u  /* input went out on it */
#define COMMAND_RECONNECTED 0x40000u    /* `reconnect` began it */
#define COMMAND_CONNECTION \
    (COMMAND_RECONNECTED | COMMAND_BEGUN | COMMAND_GREETED | \
     COMMAND_KILL_PUT | COMMAND_END_PUT | COMMAND_INPUT_PUT)
/* The message at hand. */
#define COMMAND_OFFSET 0x100000u    /* its offset is known */
#define COMMAND_TOLD 0x200000u      /* its beginning was looked at */
#define COMMAND_GUESSED 0x400000u   /* without knowing its offset */
#define COMMAND_OVERLAP 0x800000u   /* where it might have overlapped */
#define COMMAND_COMPLETE 0x1000000u /* all of it has come */
#define COMMAND_READY 0x2000000u    /* there is something to deliver */
#define COMMAND_DATA 0x4000000u     /* it has data */
#define COMMAND_NO_CODE 0x8000000u  /* it has no exit_code */
#define COMMAND_MESSAGE \
    (COMMAND_OFFSET | COMMAND_TOLD | COMMAND_GUESSED | COMMAND_OVERLAP | \
     COMMAND_COMPLETE | COMMAND_READY | COMMAND_DATA)

/* command_talk.c: the command of an operation, and its state. */
LSSB_PRIVATE lssb_command *lssb_command_of(const lssb_op *op);
LSSB_PRIVATE struct lssb_command_state *
lssb_command_state_of(const lssb_op *op);
/* The two streams of an array; 0 is stdout. */
LSSB_PRIVATE struct lssb_command_stream *
lssb_command_stream_of(lssb_command *command);
/* Where a stream would go on: the offset of its next byte, as far as one can
 * know. */
LSSB_PRIVATE uint64_t
lssb_command_expected(const struct lssb_command_stream *stream);
/* From where a replay is asked for. The count of a text that holds a U+FFFD
 * may be ahead of the server's: then from the beginning of that message. */
LSSB_PRIVATE uint64_t
lssb_command_replay(const struct lssb_command_stream *stream);

/* Seconds as the server wants them: `fallback` for 0, `none` for no limit. */
LSSB_PRIVATE int32_t lssb_command_seconds(int32_t seconds, int32_t fallback,
                                          int32_t none);
/* The first message of a new command (protocol 5.3). */
LSSB_PRIVATE void lssb_command_put_execute(struct lssb_json_writer *json,
                                           const char *id, const char *text,
                                           const lssb_run_options *options);
/* Sends one such message, with as many bytes as there is room for; returns how
 * many that were. */
LSSB_PRIVATE size_t lssb_command_carry(lssb_op *op, const char *channel_id,
                                       const char *bytes, size_t len);
/* Whether the connection takes messages about a command that runs. An older
 * server says nothing after `reconnect` as long as the command does not. */
LSSB_PRIVATE bool lssb_command_may_talk(const lssb_op *op);
/* Sends what is to be said, in its order. */
LSSB_PRIVATE void lssb_command_send(lssb_op *op);
/* Whether something that could be said was not, for want of room. */
LSSB_PRIVATE bool lssb_command_is_unsaid(const lssb_op *op);

/* command_hear.c: what comes in. Counts what was delivered, or dropped because
 * nobody wants it. */
LSSB_PRIVATE void lssb_command_delivered(lssb_command *command,
                                         const char *bytes, size_t len);
/* Forgets the message at hand. */
LSSB_PRIVATE void lssb_command_forget_message(struct lssb_command_state *state);
/* What is held is through; so is its message, if it was the rest of it. */
LSSB_PRIVATE void lssb_command_release(struct lssb_command_state *state);
/* Delivers what is ready. LSSB_AGAIN: nobody takes it now. */
LSSB_PRIVATE lssb_status lssb_command_deliver(lssb_op *op);
/* Says which of a command's operations failed. */
LSSB_PRIVATE void lssb_command_name(const lssb_op *op, lssb_error *error);
/* A failure that this library or the server found, about this command. */
LSSB_PRIVATE lssb_status lssb_command_fail(lssb_op *op, lssb_status status,
                                           lssb_layer layer,
                                           const char *message,
                                           const char *more);
/* Which members of a message are wanted (protocol 5.5). */
LSSB_PRIVATE enum lssb_json_take
lssb_command_choose(void *ctx, int depth, const char *parent, const char *key);
/* Reads a piece of a message; LSSB_OK, or it is no JSON. */
LSSB_PRIVATE lssb_status lssb_command_scan(lssb_op *op, const uint8_t *bytes,
                                           size_t len);
/* The hold is full in the middle of a message. */
LSSB_PRIVATE lssb_status lssb_command_hold_full(lssb_op *op);
/* The server has taken up the command, or taken us back. */
LSSB_PRIVATE lssb_status lssb_command_running(lssb_op *op);
/* The message at hand has come whole. LSSB_END: this operation is through
 * with the connection. */
LSSB_PRIVATE lssb_status lssb_command_message(lssb_op *op);

/* command_link.c: the connection, lost and found. An attempt failed. */
LSSB_PRIVATE lssb_status lssb_command_lost(lssb_op *op);
/* The upgrade was refused (protocol 5.7). */
LSSB_PRIVATE lssb_status lssb_command_refused(lssb_op *op, lssb_error *error);
/* Decodes and delivers what has arrived; false when that cannot go on now. */
LSSB_PRIVATE bool lssb_command_read(lssb_op *op);
LSSB_PRIVATE void lssb_command_step(lssb_op *op);
LSSB_PRIVATE void lssb_command_waits(const lssb_op *op, uint64_t *wake_at);
/* What is looked at in every step, whatever the connection does. */
LSSB_PRIVATE bool lssb_command_watch(lssb_op *op);
LSSB_PRIVATE void lssb_command_path(const lssb_op *op, struct lssb_writer *to);
/* All headers of the 101 are there. */
LSSB_PRIVATE lssb_status lssb_command_head(lssb_op *op, int status,
                                           const struct lssb_http *http);
/* The connection is a WebSocket now. */
LSSB_PRIVATE lssb_status lssb_command_upgraded(lssb_op *op, const char *text,
                                               size_t len);
/* Says goodbye on a connection that is open, and leaves it to the slot. */
LSSB_PRIVATE void lssb_command_farewell(lssb_op *op);

/* command.c: what came of a command, for whoever waits. */
LSSB_PRIVATE void lssb_command_result(const lssb_command *command,
                                      lssb_result *result);
/* Ends the wait for a command whose outcome is known. */
LSSB_PRIVATE void lssb_command_waited(lssb_op *op, lssb_status outcome);
/* Whether a command's struct is in use. */
LSSB_PRIVATE bool lssb_command_in_use(const lssb_command *command);

#endif
