/* SPDX-License-Identifier: MIT */
#ifndef STAND_IN_FREERTOS_IP_H
#define STAND_IN_FREERTOS_IP_H

#ifndef ipFR_TCP_VERSION_MAJOR
#define ipFR_TCP_VERSION_MAJOR 4
#endif

typedef enum eTCP_STATE {
    eCLOSED = 0,
    eTCP_LISTEN,
    eCONNECT_SYN,
    eSYN_FIRST,
    eSYN_RECEIVED,
    eESTABLISHED,
    eFIN_WAIT_1,
    eFIN_WAIT_2,
    eCLOSE_WAIT,
    eCLOSING,
    eLAST_ACK,
    eTIME_WAIT
} eIPTCPState_t;

#endif
