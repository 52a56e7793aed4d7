/* The text that goes with a negative errno: what, where and what to do.
 *
 * Filled where the failure happens and wrapped where the caller knows more:
 * "start web1: nic: ens1f0 has no VF 9 (it has 8)". */
#ifndef FSM_ERR_H
#define FSM_ERR_H

#define ERR_TEXT_MAX 512

struct err {
	char text[ERR_TEXT_MAX];
};

/* Set the text and return code, so that a failing function ends with
 * `return err_set(err, -EINVAL, ...)`. err may be NULL. */
int err_set(struct err *err, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Put "prefix: " before the text. Returns code. */
int err_wrap(struct err *err, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
