/* SPDX-License-Identifier: Apache-2.0 */
/* fs_writers.c - four writers on a filesystem that is cut off under them, and the
 * comparison of what it holds afterwards with what it had answered.
 *
 *	run DIR JOURNALS SEED MOST_MS COMMAND...
 *		makes DIR on the filesystem and JOURNALS elsewhere, writes in DIR,
 *		and runs COMMAND, which is to be the end of the filesystem, after
 *		10 to MOST_MS milliseconds
 *	verify killed DIR JOURNALS SEED
 *		only the daemon died: everything that was answered is there, and of
 *		each writer at most the one step more that was not
 *	verify cut DIR JOURNALS SEED
 *		the power went: everything that was answered before a sync began
 *		that returned 0, whoever did it, is there, and the whole is what a
 *		prefix of the steps made.  What was answered after COMMAND began
 *		was answered by nobody: a filesystem that is being shut down may
 *		take a sync for done that it has dropped (XFS)
 *	verify same DIR JOURNALS SEED
 *		what the last comparison found is still there, no more and no less
 *	forget DIR JOURNALS SEED WRITER COUNT
 *		makes DIR as a filesystem would leave it that had lost COUNT steps
 *		of one writer after the last comparison; for testing `verify`
 *
 * Order between writers: each step takes a stamp from a clock common to all when
 * it begins and when it has been answered.
 *
 *	writer 1   |--A--|
 *	writer 2            |--B--|
 *
 * A was answered before B began, so a prefix with B in it has A.  Of steps that
 * overlap either may come first.
 *
 * The exit status is 0 if all is well, with a line of explanation if not. */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/die.h"
#include "tests/must.h"
#include "tests/suite.h"
#include "tests/writers.h"

#define WRITER_COUNT 4u
#define LEAST_MS 10u
#define PATIENCE_S 120u

/* A writer's journal: one before each step, one when it was answered. */
struct entry {
	uint64_t stamp;
	int32_t result; /* BEGAN, or what was answered */
	uint32_t kind;  /* of the step, to notice a wrong seed */
};

#define BEGAN 1

static const char *dir, *journals;
static uint64_t seed;

static const char *
path_of(const char *where, const char *name, unsigned number)
{
	static char paths[2][4096];
	static unsigned turn;
	char *path = paths[turn++ % 2];

	snprintf(path, sizeof(paths[0]), "%s/%s%u", where, name, number);
	return path;
}

static uint64_t
seed_of(unsigned writer)
{
	uint64_t state = seed + writer;

	return suite_random(&state);
}

/* ---- Writing ---- */

/* Common to all writers. */
struct shared {
	_Atomic uint64_t clock;
	atomic_bool stop;
};

static void
note(int journal, struct shared *shared, const struct step *step, int result)
{
	struct entry entry = { .stamp = atomic_fetch_add(&shared->clock, 1) + 1,
			       .result = result,
			       .kind = step->kind };

	if (write(journal, &entry, sizeof(entry)) != sizeof(entry))
		die("journal: %s", strerror(errno));
}

static void
write_until_the_end(unsigned writer, struct shared *shared)
{
	int journal = open(path_of(journals, "w", writer),
			   O_WRONLY | O_CREAT | O_EXCL | O_APPEND, 0600);
	struct places places;
	struct step step;
	int r = 0;

	if (journal < 0)
		die("%s: %s", journals, strerror(errno));
	places_init(&places, seed_of(writer));
	while (r == 0 && !atomic_load(&shared->stop)) {
		step_next(&places, &step);
		note(journal, shared, &step, BEGAN);
		r = step_do(path_of(dir, "w", writer), &step);
		note(journal, shared, &step, r);
		step_apply(&places, &step);
	}
	places_fini(&places);
	close(journal);
}

static void
prepare(void)
{
	unsigned i;
	int r, fd;

	if (mkdir(dir, 0755) < 0 || mkdir(journals, 0755) < 0)
		die("%s, %s: %s", dir, journals, strerror(errno));
	for (i = 0; i < WRITER_COUNT; i++) {
		r = places_make(path_of(dir, "w", i));
		if (r < 0)
			die("%s: %s", dir, strerror(-r));
	}
	fd = open(dir, O_RDONLY);
	if (fd < 0 || fsync(fd) < 0)
		die("%s: fsync: %s", dir, strerror(errno));
	close(fd);
}

/* When COMMAND began, on the common clock. */
static void
write_end(struct shared *shared)
{
	FILE *end = fopen(path_of(journals, "end", 0), "w");

	if (!end ||
	    fprintf(end, "%" PRIu64 "\n",
		    atomic_fetch_add(&shared->clock, 1) + 1) < 0 ||
	    fclose(end) != 0)
		die("%s: %s", journals, strerror(errno));
}

static uint64_t
read_end(void)
{
	FILE *end = fopen(path_of(journals, "end", 0), "r");
	uint64_t stamp;

	if (!end || fscanf(end, "%" SCNu64, &stamp) != 1)
		die("%s: not of a run that came to its end", journals);
	fclose(end);
	return stamp;
}

static int
run_command(char **command)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		execvp(command[0], command);
		_exit(127);
	}
	return waitpid(pid, &status, 0) == pid && WIFEXITED(status)
		       ? WEXITSTATUS(status)
		       : -1;
}

static void
run(unsigned most_ms, char **command)
{
	struct shared *shared =
		mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	uint64_t state = seed;
	unsigned i, ms;
	int status;

	if (shared == MAP_FAILED)
		die("mmap: %s", strerror(errno));
	prepare();
	for (i = 0; i < WRITER_COUNT; i++) {
		if (fork() != 0)
			continue;
		alarm(PATIENCE_S);
		write_until_the_end(i, shared);
		exit(EXIT_SUCCESS);
	}
	ms = LEAST_MS +
	     (unsigned)(suite_random(&state) %
			(most_ms > LEAST_MS ? most_ms - LEAST_MS : 1));
	nanosleep(&(struct timespec){ ms / 1000, ms % 1000 * 1000000L }, NULL);
	write_end(shared);
	status = run_command(command);
	atomic_store(&shared->stop, true);
	if (status != 0)
		die("%s: status %d", command[0], status);
	while (wait(&status) > 0)
		if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
			die("a writer ended with status %#x", (unsigned)status);
}

/* ---- What was answered ---- */

struct change {
	struct step step;
	uint64_t began, answered; /* answered: 0 if it was not, or an error */
	bool durable;             /* answered in time, and it syncs by itself */
};

/* What the journals say as a whole. */
struct promise {
	uint64_t end;    /* when the filesystem was cut off */
	uint64_t synced; /* when the last sync began that was answered before */
};

struct writer {
	struct change *changes; /* owned */
	size_t count, cap;
	size_t *matches; /* owned: after how many changes it looks as found */
	size_t match_count, match_cap;
	size_t match; /* the one chosen */
	size_t least; /* as many changes at least must be there */
};

/* Errors of a filesystem that has been cut off; any other is a defect. */
static bool
is_expected(int error)
{
	return error == -ENOTCONN || error == -ECONNABORTED || error == -EIO ||
	       error == -ENODEV || error == -EROFS;
}

static void
take_step(struct writer *writer, const struct step *step, uint64_t began,
	  const struct entry *answer, struct promise *promise)
{
	bool good = answer && answer->result == 0;
	bool synced = good && step_syncs(step) && answer->stamp < promise->end;

	if (answer && answer->result < 0 && !is_expected(answer->result))
		die("%s: %s", step_text(step), strerror(-answer->result));
	if (synced && began > promise->synced)
		promise->synced = began;
	if (!step_changes(step))
		return;
	writer->changes = must_grow(writer->changes, writer->count,
				    &writer->cap, sizeof(writer->changes[0]));
	writer->changes[writer->count++] = (struct change){
		.step = *step,
		.began = began,
		.answered = good ? answer->stamp : 0,
		.durable = synced,
	};
}

static void
load(struct writer *writer, unsigned number, struct promise *promise)
{
	FILE *journal = fopen(path_of(journals, "w", number), "r");
	struct entry begun, answer;
	struct places places;
	struct step step;
	bool answered;

	if (!journal)
		die("%s: %s", path_of(journals, "w", number), strerror(errno));
	places_init(&places, seed_of(number));
	while (fread(&begun, sizeof(begun), 1, journal) == 1) {
		step_next(&places, &step);
		answered = fread(&answer, sizeof(answer), 1, journal) == 1;
		if (begun.result != BEGAN || begun.kind != step.kind)
			die("the journal of writer %u is of another seed",
			    number);
		take_step(writer, &step, begun.stamp, answered ? &answer : NULL,
			  promise);
		step_apply(&places, &step);
	}
	places_fini(&places);
	fclose(journal);
}

/* How many changes must be there, as they were answered before `before`. */
static size_t
least_changes(const struct writer *writer, uint64_t before)
{
	size_t i, least = 0;

	for (i = 0; i < writer->count; i++)
		if (writer->changes[i].answered != 0 &&
		    (writer->changes[i].answered < before ||
		     writer->changes[i].durable))
			least = i + 1;
	return least;
}

/* ---- What is there ---- */

struct comparison {
	struct places want, found;
	bool differs[PLACE_COUNT];
	unsigned differing;
};

static void
compare_place(struct comparison *c, unsigned place)
{
	bool differs = !place_is_same(&c->want.at[place], &c->found.at[place]);

	c->differing += differs;
	c->differing -= c->differs[place];
	c->differs[place] = differs;
}

static void
comparison_init(struct comparison *c, const char *path)
{
	unsigned i;

	memset(c, 0, sizeof(*c));
	places_init(&c->want, 0);
	places_init(&c->found, 0);
	if (!places_read(&c->found, path))
		exit(EXIT_FAILURE);
	for (i = 0; i < PLACE_COUNT; i++)
		compare_place(c, i);
}

static void
comparison_fini(struct comparison *c)
{
	places_fini(&c->want);
	places_fini(&c->found);
}

static void
comparison_step(struct comparison *c, const struct step *step)
{
	step_apply(&c->want, step);
	compare_place(c, step->place);
	compare_place(c, step->to);
}

static void
add_match(struct writer *writer, size_t changes)
{
	writer->matches =
		must_grow(writer->matches, writer->match_count,
			  &writer->match_cap, sizeof(writer->matches[0]));
	writer->matches[writer->match_count++] = changes;
}

/* Finds after how many changes a writer's directory looked as it is found. */
static void
find_matches(struct writer *writer, const char *path)
{
	struct comparison c;
	size_t i;

	comparison_init(&c, path);
	for (i = 0; i <= writer->count; i++) {
		if (c.differing == 0)
			add_match(writer, i);
		if (i < writer->count)
			comparison_step(&c, &writer->changes[i].step);
	}
	comparison_fini(&c);
}

/* Says how a directory differs from what `changes` changes make. */
static void
print_difference(const struct writer *writer, const char *path, size_t changes)
{
	struct comparison c;
	size_t i;

	comparison_init(&c, path);
	for (i = 0; i < changes; i++)
		comparison_step(&c, &writer->changes[i].step);
	for (i = 0; i < PLACE_COUNT; i++) {
		const struct place *want = &c.want.at[i];
		const struct place *found = &c.found.at[i];

		if (c.differs[i])
			printf("  %s: kind %d mode %o of %zu bytes, "
			       "found %d %o %zu\n",
			       place_name((unsigned)i), want->kind,
			       (unsigned)want->mode, want->len, found->kind,
			       (unsigned)found->mode, found->len);
	}
	comparison_fini(&c);
}

/* ---- The comparison ---- */

static size_t
position(const struct writer *writer)
{
	return writer->matches[writer->match];
}

/* Takes the fewest changes, not less than there must be. */
static bool
choose_least(struct writer *writer, unsigned number)
{
	const char *path = path_of(dir, "w", number);

	while (writer->match < writer->match_count &&
	       position(writer) < writer->least)
		writer->match++;
	if (writer->match < writer->match_count)
		return true;
	printf("writer %u: of %zu changes %zu must be there; ", number,
	       writer->count, writer->least);
	if (writer->match_count > 0)
		printf("found are %zu, lost is: %s\n",
		       writer->matches[writer->match_count - 1],
		       step_text(&writer->changes[writer->least - 1].step));
	else
		printf("what is found was never there\n");
	print_difference(writer, path, writer->least);
	return false;
}

/* Whether the first change that `a` lacks was answered before the last one began
 * that `b` has. */
static bool
is_hole(const struct writer *a, const struct writer *b)
{
	size_t have_a = position(a), have_b = position(b);

	return have_a < a->count && have_b > 0 &&
	       a->changes[have_a].answered != 0 &&
	       a->changes[have_a].answered < b->changes[have_b - 1].began;
}

static bool
find_hole(const struct writer *writers, unsigned *out_lacks, unsigned *out_has)
{
	unsigned a, b;

	for (a = 0; a < WRITER_COUNT; a++) {
		for (b = 0; b < WRITER_COUNT; b++) {
			if (!is_hole(&writers[a], &writers[b]))
				continue;
			*out_lacks = a;
			*out_has = b;
			return true;
		}
	}
	return false;
}

/* Looks for a prefix of all steps.  Each writer begins with the fewest changes
 * that fit what is found; a hole can only be closed by taking more. */
static bool
choose_prefix(struct writer *writers)
{
	unsigned lacks, has;

	while (find_hole(writers, &lacks, &has)) {
		if (++writers[lacks].match < writers[lacks].match_count)
			continue;
		printf("writer %u lacks a change that was answered before one "
		       "began that writer %u has\n",
		       lacks, has);
		return false;
	}
	return true;
}

static void
write_found(const struct writer *writers)
{
	FILE *found = fopen(path_of(journals, "found", 0), "w");
	unsigned i;

	for (i = 0; found && i < WRITER_COUNT; i++)
		fprintf(found, "%zu\n", position(&writers[i]));
	if (!found || fclose(found) != 0)
		die("%s: %s", journals, strerror(errno));
}

static void
read_found(size_t found[WRITER_COUNT])
{
	FILE *file = fopen(path_of(journals, "found", 0), "r");
	unsigned i;

	for (i = 0; i < WRITER_COUNT; i++)
		if (!file || fscanf(file, "%zu", &found[i]) != 1)
			die("%s: no comparison before this one", journals);
	fclose(file);
}

static void
load_all(struct writer writers[WRITER_COUNT], struct promise *promise)
{
	unsigned i;

	memset(writers, 0, WRITER_COUNT * sizeof(writers[0]));
	*promise = (struct promise){ .end = read_end() };
	for (i = 0; i < WRITER_COUNT; i++)
		load(&writers[i], i, promise);
}

static void
free_all(struct writer writers[WRITER_COUNT])
{
	unsigned i;

	for (i = 0; i < WRITER_COUNT; i++) {
		free(writers[i].changes);
		free(writers[i].matches);
	}
}

/* What was answered before `before` must be there. */
static bool
compare_all(struct writer writers[WRITER_COUNT], uint64_t before)
{
	size_t answered = 0, kept = 0, durable = 0;
	bool good = true;
	unsigned i;

	for (i = 0; i < WRITER_COUNT; i++) {
		writers[i].least = least_changes(&writers[i], before);
		find_matches(&writers[i], path_of(dir, "w", i));
		good &= choose_least(&writers[i], i);
		durable += writers[i].least;
		answered += least_changes(&writers[i], UINT64_MAX);
	}
	good = good && choose_prefix(writers);
	for (i = 0; i < WRITER_COUNT && good; i++)
		kept += position(&writers[i]);
	if (good)
		printf("%zu answered, %zu promised, %zu kept\n", answered,
		       durable, kept);
	return good;
}

static bool
compare_same(struct writer writers[WRITER_COUNT])
{
	size_t found[WRITER_COUNT], j;
	bool all = true, good;
	unsigned i;

	read_found(found);
	for (i = 0; i < WRITER_COUNT; i++) {
		find_matches(&writers[i], path_of(dir, "w", i));
		for (j = 0, good = false; j < writers[i].match_count; j++)
			good |= writers[i].matches[j] == found[i];
		if (!good)
			printf("writer %u: not as it was\n", i);
		if (!good)
			print_difference(&writers[i], path_of(dir, "w", i),
					 found[i]);
		all &= good;
	}
	return all;
}

static int
verify(const char *how)
{
	struct writer writers[WRITER_COUNT];
	struct promise promise;
	bool good;

	load_all(writers, &promise);
	if (strcmp(how, "same") == 0) {
		good = compare_same(writers);
	} else {
		good = compare_all(writers, strcmp(how, "killed") == 0
						    ? UINT64_MAX
						    : promise.synced);
		if (good)
			write_found(writers);
	}
	free_all(writers);
	return good ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* ---- A filesystem that loses something ---- */

static void
make_as_after(const struct writer *writer, unsigned number, size_t changes)
{
	const char *path = path_of(dir, "w", number);
	struct places places;
	size_t i;
	int r;

	places_init(&places, 0);
	for (i = 0; i < changes; i++)
		step_apply(&places, &writer->changes[i].step);
	r = places_make(path);
	if (r == 0)
		r = places_write(&places, path);
	if (r < 0)
		die("%s: %s", path, strerror(-r));
	places_fini(&places);
}

static void
forget(unsigned loser, size_t count)
{
	struct writer writers[WRITER_COUNT];
	size_t found[WRITER_COUNT];
	struct promise promise;
	unsigned i;

	load_all(writers, &promise);
	read_found(found);
	if (loser >= WRITER_COUNT || found[loser] < count)
		die("writer %u has not made %zu changes", loser, count);
	found[loser] -= count;
	if (mkdir(dir, 0755) < 0)
		die("%s: %s", dir, strerror(errno));
	for (i = 0; i < WRITER_COUNT; i++)
		make_as_after(&writers[i], i, found[i]);
	free_all(writers);
}

int
main(int argc, char **argv)
{
	const char *what = argc > 5 ? argv[1] : "";

	umask(022);
	alarm(PATIENCE_S);
	if (strcmp(what, "verify") == 0)
		argv++;
	if (argc > 5) {
		dir = argv[2];
		journals = argv[3];
		seed = strtoull(argv[4], NULL, 10);
	}
	if (strcmp(what, "verify") == 0)
		return verify(argv[1]);
	if (strcmp(what, "run") == 0 && argc > 6)
		run((unsigned)strtoul(argv[5], NULL, 10), argv + 6);
	else if (strcmp(what, "forget") == 0 && argc == 7)
		forget((unsigned)strtoul(argv[5], NULL, 10),
		       strtoul(argv[6], NULL, 10));
	else
		return 2;
	return EXIT_SUCCESS;
}
