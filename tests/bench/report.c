/* SPDX-License-Identifier: Apache-2.0 */
/* report.c - medians of what was added, in aligned columns; see report.h. */
#include <config.h>

#include "tests/bench/report.h"

#include <stdlib.h>
#include <string.h>

#include "tests/must.h"

#define ROW_WIDTH 38
#define UNIT_WIDTH 6
#define CELL_WIDTH 22
#define RATIO_WIDTH 8
#define TEXT_SIZE 64

struct cell {
	double *samples; /* owned */
	size_t count, cap;
};

struct row {
	char *name; /* owned */
	enum report_unit unit;
	struct cell *cells; /* owned, one a column */
};

struct report {
	char *title;  /* owned */
	char **names; /* owned */
	int *rival;   /* owned; NULL: compare nothing */
	size_t columns;
	struct row *rows; /* owned */
	size_t row_count, row_cap;
};

static char *
copy_text(const char *text)
{
	return must_copy(text, strlen(text) + 1);
}

struct report *
report_new(const char *title, size_t columns, const char *const *names,
	   const int *rival)
{
	struct report *report = must_alloc(sizeof(*report));

	report->title = copy_text(title);
	report->columns = columns;
	report->names = must_alloc(columns * sizeof(*report->names));
	for (size_t i = 0; i < columns; i++)
		report->names[i] = copy_text(names[i]);
	for (size_t i = 0; rival && i < columns; i++)
		if (rival[i] && !report->rival)
			report->rival =
				must_copy(rival, columns * sizeof(*rival));
	return report;
}

static void
row_fini(struct row *row, size_t columns)
{
	for (size_t i = 0; i < columns; i++)
		free(row->cells[i].samples);
	free(row->cells);
	free(row->name);
}

void
report_free(struct report *report)
{
	if (!report)
		return;
	for (size_t i = 0; i < report->row_count; i++)
		row_fini(&report->rows[i], report->columns);
	for (size_t i = 0; i < report->columns; i++)
		free(report->names[i]);
	free(report->rows);
	free(report->names);
	free(report->rival);
	free(report->title);
	free(report);
}

static struct row *
row_find(struct report *report, const char *name, enum report_unit unit)
{
	struct row *row;

	for (size_t i = 0; i < report->row_count; i++)
		if (strcmp(report->rows[i].name, name) == 0)
			return &report->rows[i];
	report->rows = must_grow(report->rows, report->row_count,
				 &report->row_cap, sizeof(*report->rows));
	row = &report->rows[report->row_count++];
	row->name = copy_text(name);
	row->unit = unit;
	row->cells = must_alloc(report->columns * sizeof(*row->cells));
	return row;
}

void
report_add(struct report *report, const char *row_name, enum report_unit unit,
	   size_t column, double value)
{
	struct row *row = row_find(report, row_name, unit);
	struct cell *cell = &row->cells[column];

	cell->samples = must_grow(cell->samples, cell->count, &cell->cap,
				  sizeof(*cell->samples));
	cell->samples[cell->count++] = value;
}

static int
compare_samples(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

/* Requires: count > 0. */
static void
cell_spread(const struct cell *cell, double *least, double *median,
	    double *most)
{
	double *sorted =
		must_copy(cell->samples, cell->count * sizeof(*sorted));
	size_t middle = cell->count / 2;

	qsort(sorted, cell->count, sizeof(*sorted), compare_samples);
	*least = sorted[0];
	*most = sorted[cell->count - 1];
	*median = cell->count % 2 ? sorted[middle]
				  : (sorted[middle - 1] + sorted[middle]) / 2;
	free(sorted);
}

static double
cell_median(const struct cell *cell)
{
	double least, median, most;

	if (cell->count == 0)
		return 0;
	cell_spread(cell, &least, &median, &most);
	return median;
}

static int
more_is_better(enum report_unit unit)
{
	return unit == REPORT_PER_SECOND || unit == REPORT_BYTES_PER_SECOND;
}

static const char *
unit_name(enum report_unit unit)
{
	switch (unit) {
	case REPORT_PER_SECOND:
		return "/s";
	case REPORT_BYTES_PER_SECOND:
		return "MB/s";
	case REPORT_MICROSECONDS:
		return "us";
	case REPORT_SECONDS:
		return "s";
	case REPORT_BYTES:
		return "MB";
	case REPORT_TIMES:
		return "x";
	}
	return "";
}

void
report_number(char *out, size_t size, enum report_unit unit, double value)
{
	const char *scale = "";

	if (unit == REPORT_BYTES || unit == REPORT_BYTES_PER_SECOND)
		value /= 1e6;
	if (unit == REPORT_PER_SECOND && value >= 1e6) {
		value /= 1e6;
		scale = "M";
	} else if (unit == REPORT_PER_SECOND && value >= 1e3) {
		value /= 1e3;
		scale = "k";
	}
	snprintf(out, size, "%.*f%s", value < 9.995 ? 2 : value < 99.95, value,
		 scale);
}

static void
cell_text(const struct cell *cell, enum report_unit unit, char *out,
	  size_t size)
{
	char low[TEXT_SIZE / 4], middle[TEXT_SIZE / 4], high[TEXT_SIZE / 4];
	double least, median, most;

	if (cell->count == 0) {
		snprintf(out, size, "-");
		return;
	}
	cell_spread(cell, &least, &median, &most);
	report_number(middle, sizeof(middle), unit, median);
	if (cell->count == 1) {
		snprintf(out, size, "%s", middle);
		return;
	}
	report_number(low, sizeof(low), unit, least);
	report_number(high, sizeof(high), unit, most);
	snprintf(out, size, "%s [%s-%s]", middle, low, high);
}

/* The first column against the best rival; 0 if either is absent. */
static double
row_ratio(const struct report *report, const struct row *row)
{
	double ours = cell_median(&row->cells[0]), best = 0;

	for (size_t i = 0; i < report->columns; i++) {
		double median = cell_median(&row->cells[i]);

		if (!report->rival[i] || median <= 0)
			continue;
		if (best <= 0 ||
		    (more_is_better(row->unit) ? median > best : median < best))
			best = median;
	}
	if (ours <= 0 || best <= 0)
		return 0;
	return more_is_better(row->unit) ? ours / best : best / ours;
}

static void
print_ratio(const struct report *report, const struct row *row, FILE *out)
{
	double ratio;

	if (!report->rival)
		return;
	ratio = row_ratio(report, row);
	if (ratio > 0)
		fprintf(out, "%*.2f", RATIO_WIDTH, ratio);
	else
		fprintf(out, "%*s", RATIO_WIDTH, "-");
}

static void
print_row(const struct report *report, const struct row *row, FILE *out)
{
	char text[TEXT_SIZE];

	fprintf(out, "%-*s%-*s", ROW_WIDTH, row->name, UNIT_WIDTH,
		unit_name(row->unit));
	for (size_t i = 0; i < report->columns; i++) {
		cell_text(&row->cells[i], row->unit, text, sizeof(text));
		fprintf(out, "%*s", CELL_WIDTH, text);
	}
	print_ratio(report, row, out);
	fputc('\n', out);
}

void
report_print(const struct report *report, FILE *out)
{
	fprintf(out, "\n%s\n\n%-*s", report->title, ROW_WIDTH + UNIT_WIDTH, "");
	for (size_t i = 0; i < report->columns; i++)
		fprintf(out, "%*s", CELL_WIDTH, report->names[i]);
	fprintf(out, "%*s\n", RATIO_WIDTH, report->rival ? "ratio" : "");
	for (size_t i = 0; i < report->row_count; i++)
		print_row(report, &report->rows[i], out);
	(void)fflush(out);
}

static void
print_row_csv(const struct report *report, const struct row *row, FILE *out)
{
	for (size_t i = 0; i < report->columns; i++)
		for (size_t k = 0; k < row->cells[i].count; k++)
			fprintf(out, "%s,%s,%s,%s,%zu,%.9g\n", report->title,
				row->name, unit_name(row->unit),
				report->names[i], k + 1,
				row->cells[i].samples[k]);
}

void
report_print_csv(const struct report *report, FILE *out)
{
	for (size_t i = 0; i < report->row_count; i++)
		print_row_csv(report, &report->rows[i], out);
	(void)fflush(out);
}
