/*-------------------------------------------------------------------------
 *
 * proxy.c
 *	  Who a request is from when a proxy has passed it on.
 *
 * Each proxy adds the address that it was asked from at the end of
 * X-Forwarded-For, and what stands before that the client may have invented.
 * So the list is read from its end, over the proxies that are trusted, up to
 * the first address that is not one of theirs.  Nothing to the left of that is
 * looked at: no client can make its address unreadable.
 *
 * RFC 7239's Forwarded is not read.  Nearly all proxies write X-Forwarded-For,
 * and those pass a client's own Forwarded on as it came; who believed both
 * would believe the client.
 *
 * Whether the peer is a trusted proxy, without which its headers say nothing,
 * is for the caller to ask.  Owns nothing and allocates nothing.
 *
 *-------------------------------------------------------------------------
 */
#include "proxy.h"

static WbSlice last_element(WbSlice *rest);
static bool parse_element(WbSlice text, WbAddress *address);
static bool is_port(WbSlice text);

/* Takes the next of the entries, which commas and white space separate. */
static bool
next_entry(const char **list, WbSlice *entry)
{
	static const char separators[] = ", \t\r\n\f\v";

	*list += strspn(*list, separators);
	*entry = wb_slice(*list, strcspn(*list, separators));
	*list += entry->len;
	return entry->len > 0;
}

/* The number of entries in a list, be they right or wrong. */
int
wb_proxies_count(const char *list)
{
	WbSlice entry;
	int count = 0;

	while (next_entry(&list, &entry))
		count++;
	return count;
}

/*
 * Reads a list of addresses and networks into memory that has room for all of
 * them.  False, with the entry in "bad", if one is neither.
 */
bool
wb_proxies_parse(const char *list, WbProxies *proxies, WbSlice *bad)
{
	proxies->count = 0;
	while (next_entry(&list, bad))
	{
		if (!wb_network_parse(*bad, &proxies->networks[proxies->count]))
			return false;
		proxies->count++;
	}
	return true;
}

bool
wb_proxies_contain(const WbProxies *proxies, const WbAddress *address)
{
	for (int i = 0; i < proxies->count; i++)
		if (wb_network_contains(&proxies->networks[i], address))
			return true;
	return false;
}

/*
 * Finds the client's address in the headers of a request that came from a
 * trusted proxy.  Several lines are one list (RFC 9110, section 5.3).  False if
 * they do not say it: nobody but trusted proxies is named, or something that is
 * no address.
 */
bool
wb_proxies_find_client(const WbProxies *proxies, const WbHeader *headers, int header_count,
					   WbAddress *client)
{
	WbSlice name = wb_slice_cstring("X-Forwarded-For");

	for (int i = header_count - 1; i >= 0; i--)
	{
		WbSlice rest = headers[i].value;

		if (!wb_slice_equal_nocase(headers[i].name, name))
			continue;
		while (rest.len > 0)
		{
			WbSlice element = last_element(&rest);

			if (element.len == 0)
				continue; /* as between two commas */
			if (!parse_element(element, client))
				return false;
			if (!wb_proxies_contain(proxies, client))
				return true;
		}
	}
	return false;
}

/* Takes what stands behind the last comma off the rest, or all of it. */
static WbSlice
last_element(WbSlice *rest)
{
	size_t start = rest->len;
	WbSlice element;

	while (start > 0 && rest->data[start - 1] != ',')
		start--;
	element = wb_slice(rest->data + start, rest->len - start);
	rest->len = start > 0 ? start - 1 : 0;

	while (element.len > 0 && (element.data[0] == ' ' || element.data[0] == '\t'))
		element = wb_slice(element.data + 1, element.len - 1);
	while (element.len > 0 && (element.data[element.len - 1] == ' ' || element.data[element.len - 1] == '\t'))
		element.len--;
	return element;
}

/* An address, to which some proxies add a port: 192.0.2.1:80, [2001:db8::1]:80. */
static bool
parse_element(WbSlice text, WbAddress *address)
{
	const char *end;
	size_t length;

	if (text.data[0] == '[')
	{
		end = memchr(text.data, ']', text.len);
		if (end == NULL)
			return false;
		length = (size_t) (end - text.data) + 1;
		return is_port(wb_slice(text.data + length, text.len - length)) &&
			   memchr(text.data, ':', length) != NULL &&
			   wb_address_parse(wb_slice(text.data + 1, length - 2), address);
	}
	end = memchr(text.data, ':', text.len);
	length = end ? (size_t) (end - text.data) : text.len;
	/* of IPv6 the first colon is none before a port */
	if (end && memchr(text.data, '.', length) != NULL)
		return is_port(wb_slice(end, text.len - length)) &&
			   wb_address_parse(wb_slice(text.data, length), address);
	return wb_address_parse(text, address);
}

/* A colon and digits, or nothing. */
static bool
is_port(WbSlice text)
{
	if (text.len == 0)
		return true;
	if (text.len < 2 || text.len > 6 || text.data[0] != ':')
		return false;
	for (size_t i = 1; i < text.len; i++)
		if (text.data[i] < '0' || text.data[i] > '9')
			return false;
	return true;
}
