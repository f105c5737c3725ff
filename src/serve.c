/* SPDX-License-Identifier: Apache-2.0 */
/* serve.c - wires store, tree, session and socket; see serve.h. */
#include <config.h>

#include "src/serve.h"

#include <stdio.h>
#include <unistd.h>

#include "fs/ctl.h"
#include "src/cmd.h"
#include "src/log.h"
#include "src/notify.h"
#include "src/protect.h"

struct server {
	const struct serve *serve;
	struct kv *kv;              /* owned */
	struct handle_table *table; /* owned */
	struct tree *tree;          /* owned */
	struct session *session;    /* owned */
	struct ctl *ctl;            /* owned */
};

static enum keyfs_log_level log_least = KEYFS_LOG_WARNING;

static int
server_open_tree(struct server *server)
{
	struct tree_options options = {
		.root_uid = getuid(),
		.root_gid = getgid(),
		.read_only = server->serve->options->session.read_only,
		.acls = server->serve->options->session.acls,
		.in_use = handle_table_in_use,
	};
	int r;

	r = handle_table_new(&server->table);
	if (r < 0)
		return r;
	options.arg = server->table;
	return tree_open(server->kv, &options, &server->tree);
}

static int
server_open_store(struct server *server)
{
	struct keyfs_options *options = &server->serve->options->store;
	char label[4096];
	int r;

	snprintf(label, sizeof(label), "mounted on %.4000s",
		 server->serve->mountpoint);
	options->create = !server->serve->options->session.read_only;
	options->read_only = !options->create;
	options->label = label;
	options->log = log_line;
	options->log_arg = &log_least;
	r = kv_open(server->serve->store, options, &server->kv);
	if (r == 0)
		r = server_open_tree(server);
	return r < 0 ? cmd_fail_store(&cmd_mount, server->serve->store, r)
		     : CMD_OK;
}

static int
server_mount(struct server *server)
{
	struct session_options *options = &server->serve->options->session;
	char why[512] = "";
	int r;

	options->mountpoint = server->serve->mountpoint;
	options->fsname = server->serve->store;
	options->mount_options = server->serve->options->kernel;
	options->log = log_line;
	options->log_arg = &log_least;
	r = session_open(server->tree, server->table, options, why, sizeof(why),
			 &server->session);
	if (r == 0)
		return CMD_OK;
	log_error("mount: %s: %s", server->serve->mountpoint, why);
	return CMD_FAILED;
}

/* Runs in session_run(): the mount has a device number now. */
static void
server_ready(void *arg)
{
	struct server *server = arg;
	const struct serve *serve = server->serve;
	struct ctl_options options = {
		.store = serve->store,
		.mountpoint = serve->mountpoint,
		.device = session_device(server->session),
		.kv = server->kv,
		.tree = server->tree,
		.handles = server->table,
	};
	int r = ctl_open(&options, &server->ctl);

	/* The files are there all the same; only the command line is not. */
	if (r < 0)
		(void)cmd_fail_store(&cmd_mount, serve->store, r);
	serve->ready(serve->arg);
	notify_manager("READY=1");
}

static int
server_run(struct server *server)
{
	int r;

	r = tree_start(server->tree);
	if (r == 0)
		r = session_run(server->session, server_ready, server);
	/* What is left is to close the store. */
	notify_manager("STOPPING=1");
	return r < 0 ? cmd_fail_store(&cmd_mount, server->serve->store, r)
		     : CMD_OK;
}

/* Closes what was opened, the socket first: who finds it finds the mount. */
static int
server_close(struct server *server, int status)
{
	int r, r_kv;

	ctl_close(server->ctl);
	session_close(server->session);
	r = tree_close(server->tree);
	handle_table_free(server->table);
	r_kv = kv_close(server->kv);
	if (r == 0)
		r = r_kv;
	if (r == 0 || status != CMD_OK)
		return status;
	return cmd_fail_store(&cmd_mount, server->serve->store, r);
}

int
serve_run(const struct serve *serve)
{
	struct server server = { .serve = serve };
	int status;

	protect_daemon();
	status = server_open_store(&server);
	if (status == CMD_OK)
		status = server_mount(&server);
	if (status == CMD_OK)
		status = server_run(&server);
	return server_close(&server, status);
}
