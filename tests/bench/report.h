/* SPDX-License-Identifier: Apache-2.0 */
/* report.h - collects measurements and prints them as a table.
 *
 * A table has a column for each thing compared and a row for each figure; a cell
 * holds one sample a round and is printed as median [least-most].  The last column
 * divides the first column by the best of the columns chosen for it, so that above
 * 1 means that the first is better, whatever the unit.
 *
 * Belongs to one thread. */
#ifndef TESTS_BENCH_REPORT_H
#define TESTS_BENCH_REPORT_H

#include <stddef.h>
#include <stdio.h>

/* More is better only for the first two. */
enum report_unit {
	REPORT_PER_SECOND,
	REPORT_BYTES_PER_SECOND,
	REPORT_MICROSECONDS,
	REPORT_SECONDS,
	REPORT_BYTES,
	REPORT_TIMES,
};

struct report;

/* The names are copied.  `rival[i]` says whether the first column is measured
 * against column i; NULL or none: no last column.  The caller frees it. */
struct report *report_new(const char *title, size_t columns,
			  const char *const *names, const int *rival);
void report_free(struct report *report);

/* One sample.  Rows stand in the order of their first sample. */
void report_add(struct report *report, const char *row, enum report_unit unit,
		size_t column, double value);

/* The table for people, and one line a sample for machines:
 * title,row,unit,column,sample number,value. */
void report_print(const struct report *report, FILE *out);
void report_print_csv(const struct report *report, FILE *out);

/* `value` in its unit, in three significant digits, such as "1.23M". */
void report_number(char *out, size_t size, enum report_unit unit, double value);

#endif
