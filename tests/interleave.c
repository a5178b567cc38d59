/* interleave.c: sixteen calls at once on one client and one thread.
 *
 * SPDX-License-Identifier: MIT
 *
 * Each call has its own arguments, which are overwritten and freed the moment
 * it is told, and so is its operation. One of the calls is canceled at each
 * call of the port in turn; the others must not notice.
 */
#include "scenarios.h"
#include "scripted_tls.h"

#define CALLS 16

static struct call calls[CALLS];
static struct script_client me;

/* The call that is canceled, and when. */
static size_t victim;
static unsigned long cancel_at;
static bool reached;
static bool over_tls;

static void cancel_now(unsigned long call)
{
    if (call != cancel_at)
        return;
    reached = true;
    if (calls[victim].told == 0)
        lssb_post_cancel(&calls[victim].op);
}

/* Opens a client and begins sixteen calls on it. */
static void begin_all(enum script_mode mode, uint32_t slots, size_t first)
{
    size_t i;

    scenario_begin(mode);
    script_config(&me.config);
    me.config.slots = slots;
    script.records = over_tls;
    if (over_tls) {
        me.config.endpoint = "https://api.test";
        me.config.tls = &script_tls;
    }
    if (script_client_open(&me) != LSSB_OK)
        script_stuck("no client");
    reached = false;
    script.each = cancel_now;
    for (i = 0; i < CALLS; i++) {
        call_begin(&calls[i], &scenarios[(first + i) % SCENARIOS]);
        call_start(&calls[i], me.client);
    }
}

/* What must have come of all of them. */
static void check_all(uint32_t slots)
{
    lssb_stats_list stats;
    size_t i, operations = CALLS;

    for (i = 0; i < CALLS; i++)     /* this one makes another of its own */
        operations += calls[i].what->start == start_tools;
    lssb_stats(me.client, &stats);
    EXPECT(stats.slots_high <= slots);
    EXPECT_INT(stats.operations_high, operations);
    EXPECT(script.open_most <= slots);
    script.each = NULL;
    script_client_close(&me);
    for (i = 0; i < CALLS; i++) {
        bool canceled = reached && i == victim &&
                        strcmp(calls[i].said, "LSSB_E_CANCELED ") == 0;

        EXPECT_INT(calls[i].told, 1);
        if (!canceled)
            EXPECT_STR(calls[i].said, calls[i].what->right);
        if (canceled)
            EXPECT_INT(calls[i].error.layer, LSSB_LAYER_CALLER);
    }
}

static const uint32_t slot_counts[] = { 1, 2, 4, 16 };

static void sixteen_calls_do_not_disturb_each_other(void)
{
    size_t s, first;
    int mode;

    cancel_at = 0;
    for (mode = 0; mode < SCRIPT_MODES; mode++)
        for (s = 0; s < 4; s++)
            for (first = 0; first < SCENARIOS; first += 6) {
                begin_all((enum script_mode)mode, slot_counts[s], first);
                EXPECT_INT(lssb_wait(me.client, NULL, LSSB_FOREVER), LSSB_OK);
                check_all(slot_counts[s]);
            }
}

static void sixteen_calls_over_tls_do_not_disturb_each_other(void)
{
    over_tls = true;
    sixteen_calls_do_not_disturb_each_other();
    over_tls = false;
}

/* Sleeps as a loop of the caller's own would. */
static void outside_poll(void)
{
    lssb_socket sockets[64];
    lssb_poll list[64];
    uint32_t timeout_ms;
    int32_t code;
    size_t i, count = lssb_sockets(me.client, sockets, 64, &timeout_ms);

    EXPECT(count <= 64);
    memset(list, 0, sizeof list);
    for (i = 0; i < count; i++) {
        list[i].handle = sockets[i].handle;
        list[i].read = sockets[i].read;
        list[i].write = sockets[i].write;
    }
    if (timeout_ms > 0)
        script_port.wait(script_port.context, list, count, timeout_ms, &code);
}

static void a_loop_of_the_callers_own_does_as_well(void)
{
    size_t s;
    int mode;

    cancel_at = 0;
    for (mode = 0; mode < SCRIPT_MODES; mode++)
        for (s = 0; s < 4; s++) {
            begin_all((enum script_mode)mode, slot_counts[s], s);
            while (lssb_step(me.client) != LSSB_END)
                outside_poll();
            check_all(slot_counts[s]);
        }
}

/* Cancels each call in turn at each call of the port, or at some of them. */
static void cancel_each(enum script_mode mode, uint32_t slots,
                        unsigned long stride)
{
    char row[64];
    unsigned long canceled = 0;

    for (victim = 0; victim < CALLS && test_failures == 0; victim++)
        for (cancel_at = 1 + (unsigned long)victim;; cancel_at += stride) {
            sprintf(row, "mode %d, %u slots, call %u canceled at %lu",
                    (int)mode, (unsigned)slots, (unsigned)victim, cancel_at);
            test_row = row;
            begin_all(mode, slots, (size_t)cancel_at % SCENARIOS);
            EXPECT_INT(lssb_wait(me.client, NULL, LSSB_FOREVER), LSSB_OK);
            check_all(slots);
            canceled += strncmp(calls[victim].said, "LSSB_E_CAN", 10) == 0;
            if (!reached || test_failures > 0)
                break;
        }
    test_row = "";
    EXPECT(canceled > 5);
}

static void a_call_may_be_canceled_at_any_moment(void)
{
    cancel_each(SCRIPT_WHOLE, 1, 7);
    cancel_each(SCRIPT_WHOLE, 2, 11);
    cancel_each(SCRIPT_WHOLE, 4, 1);
    cancel_each(SCRIPT_WHOLE, 16, 5);
}

static void a_call_may_be_canceled_between_single_bytes(void)
{
    cancel_each(SCRIPT_EVERY_OTHER, 2, 13);
    cancel_each(SCRIPT_BYTE, 4, 1009);
    cancel_each(SCRIPT_BYTE_EVERY_OTHER, 16, 4001);
}

static void a_call_over_tls_may_be_canceled_at_any_moment(void)
{
    over_tls = true;
    cancel_each(SCRIPT_WHOLE, 4, 17);
    cancel_each(SCRIPT_BYTE, 2, 4001);
    over_tls = false;
}

static void a_client_may_be_closed_with_calls_under_way(void)
{
    unsigned long steps;
    size_t i, ended = 0;

    cancel_at = 0;
    for (steps = 0; ended < CALLS && test_failures == 0; steps++) {
        begin_all(SCRIPT_WHOLE, 4, (size_t)steps % SCENARIOS);
        for (i = 0; i < steps && lssb_step(me.client) != LSSB_END; i++)
            outside_poll();
        script.each = NULL;
        EXPECT_INT(lssb_close(me.client, NULL), LSSB_OK);
        script_client_gone(&me);
        for (ended = 0, i = 0; i < CALLS; i++) {
            bool right = strcmp(calls[i].said, calls[i].what->right) == 0;

            EXPECT_INT(calls[i].told, 1);
            EXPECT(right || strcmp(calls[i].said, "LSSB_E_CANCELED ") == 0);
            ended += right;
        }
    }
    EXPECT(steps > 10);
}

static void an_abandoned_client_says_nothing_to_anybody(void)
{
    unsigned long steps, requests;
    size_t i;

    cancel_at = 0;
    for (steps = 0; steps < 60; steps++) {
        begin_all(SCRIPT_WHOLE, 4, 0);
        for (i = 0; i < steps && lssb_step(me.client) != LSSB_END; i++)
            outside_poll();
        script.each = NULL;
        requests = (unsigned long)script.entry_count;
        lssb_abandon(me.client);
        script_client_gone(&me);
        EXPECT_INT(script.entry_count, requests);
        for (i = 0; i < CALLS; i++)
            if (calls[i].told == 0)
                free(calls[i].args);
    }
}

static const struct test tests[] = {
    TEST(sixteen_calls_do_not_disturb_each_other),
    TEST(sixteen_calls_over_tls_do_not_disturb_each_other),
    TEST(a_loop_of_the_callers_own_does_as_well),
    TEST(a_call_may_be_canceled_at_any_moment),
    TEST(a_call_may_be_canceled_between_single_bytes),
    TEST(a_call_over_tls_may_be_canceled_at_any_moment),
    TEST(a_client_may_be_closed_with_calls_under_way),
    TEST(an_abandoned_client_says_nothing_to_anybody),
};

int main(void)
{
    return TEST_MAIN(tests);
}
