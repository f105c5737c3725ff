/* SPDX-License-Identifier: Apache-2.0 */
/* json.c - JSON strings; see json.h. */
#include <config.h>

#include "src/json.h"

#include <string.h>

/* The length of the UTF-8 sequence at `s`, 0 if there is no valid one: overlong
 * forms, surrogates and values above U+10FFFF are not valid (RFC 3629). */
static size_t
utf8_length(const unsigned char *s, size_t len)
{
	unsigned char second_least = 0x80, second_most = 0xbf;
	size_t n, i;

	if (s[0] < 0x80)
		return 1;
	if (s[0] < 0xc2 || s[0] > 0xf4)
		return 0;
	n = s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
	if (s[0] == 0xe0)
		second_least = 0xa0;
	else if (s[0] == 0xed)
		second_most = 0x9f;
	else if (s[0] == 0xf0)
		second_least = 0x90;
	else if (s[0] == 0xf4)
		second_most = 0x8f;
	if (len < n || s[1] < second_least || s[1] > second_most)
		return 0;
	for (i = 2; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	return n;
}

void
json_string(FILE *out, const char *bytes, size_t len)
{
	const unsigned char *s = (const unsigned char *)bytes;

	fputc('"', out);
	while (len > 0) {
		size_t n = utf8_length(s, len);

		if (n == 0)
			fprintf(out, "\\udc%02x", *s);
		else if (*s == '"' || *s == '\\')
			fprintf(out, "\\%c", *s);
		else if (*s < 0x20)
			fprintf(out, "\\u%04x", *s);
		else
			fwrite(s, 1, n, out);
		s += n == 0 ? 1 : n;
		len -= n == 0 ? 1 : n;
	}
	fputc('"', out);
}
