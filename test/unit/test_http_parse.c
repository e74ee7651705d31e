/*-------------------------------------------------------------------------
 *
 * test_http_parse.c
 *	  What the HTTP parser accepts, what it refuses, and when.
 *
 * Samples are fed whole, as every prefix, split at every byte and byte by
 * byte, always against an unreadable page.  A malformed sample ends with the
 * byte that condemns it: all its proper prefixes must be incomplete, itself
 * and everything it may go on with must be refused with the same status.  So
 * the tables say not only that something is refused, but how early.
 *
 * It does not test the limits that the caller sets (size of head and body).
 *
 *-------------------------------------------------------------------------
 */
#include "http_parse.h"
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>

#define LENGTHOF(array) ((int) (sizeof(array) / sizeof((array)[0])))

/* The bytes of a literal, which may contain NUL. */
#define BYTES(text) (text), sizeof(text) - 1

#define POST "POST /hooks/orders HTTP/1.1\r\n"
#define POST10 "POST /hooks/orders HTTP/1.0\r\n"
#define HOST "Host: example.com\r\n"
#define START POST HOST
#define TEN "0123456789"
#define FIFTY TEN TEN TEN TEN TEN

typedef struct ValidHead
{
	const char *data;
	size_t len;
	const char *method;
	const char *path;
	const char *query;
	int minor_version;
	WbHttpFraming framing;
	uint64_t content_length;
	bool keep_alive;
	bool expect_continue;
	int header_count;
} ValidHead;

typedef struct MalformedHead
{
	int status;
	const char *data;
	size_t len;
} MalformedHead;

/* How a chunked body arrives. */
typedef struct Feed
{
	const char *data;
	size_t len;
	size_t split; /* length of the first of two pieces, or 0: byte by byte */
} Feed;

static const ValidHead valid_heads[] = {
	/* request lines */
	{BYTES("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), "GET", "/", "", 1, WB_HTTP_NO_BODY, 0, true, false, 1},
	{BYTES("GET / HTTP/1.0\r\n\r\n"), "GET", "/", "", 0, WB_HTTP_NO_BODY, 0, false, false, 0},
	{BYTES("HEAD /a HTTP/1.0\r\nHost: a\r\n\r\n"), "HEAD", "/a", "", 0, WB_HTTP_NO_BODY, 0, false, false, 1},
	{BYTES(START "\r\n"), "POST", "/hooks/orders", "", 1, WB_HTTP_NO_BODY, 0, true, false, 1},
	{BYTES("\r\n" START "\r\n"), "POST", "/hooks/orders", "", 1, WB_HTTP_NO_BODY, 0, true, false, 1},
	{BYTES("\r\n\r\n" START "\r\n"), "POST", "/hooks/orders", "", 1, WB_HTTP_NO_BODY, 0, true, false, 1},
	{BYTES("get / HTTP/1.1\r\n" HOST "\r\n"), "get", "/", "", 1, WB_HTTP_NO_BODY, 0, true, false, 1},
	{BYTES("!#$%&'*+-.^_`|~09 / HTTP/1.1\r\n" HOST "\r\n"), "!#$%&'*+-.^_`|~09", "/", "", 1, WB_HTTP_NO_BODY, 0, true, false, 1},
	{BYTES("ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEF / HTTP/1.1\r\n" HOST "\r\n"), "ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEF", "/", "", 1, WB_HTTP_NO_BODY, 0, true, false, 1},
	{BYTES("OPTIONS /a HTTP/1.1\r\n" HOST "\r\n"), "OPTIONS", "/a", "", 1, WB_HTTP_NO_BODY, 0, true, false, 1},

	/* targets */
	{BYTES("GET /a?b=c&d HTTP/1.1\r\n" HOST "\r\n"), "GET", "/a", "b=c&d", 1, WB_HTTP_NO_BODY, 0, true, false, 1},
	{BYTES("GET /a? HTTP/1.1\r\n" HOST "\r\n"), "GET", "/a", "", 1, WB_HTTP_NO_BODY, 0, true, false, 1},
	{BYTES("GET /?a?b?/c HTTP/1.1\r\n" HOST "\r\n"), "GET", "/", "a?b?/c", 1, WB_HTTP_NO_BODY, 0, true, false, 1},
	{BYTES("GET //a//b/../c HTTP/1.1\r\n" HOST "\r\n"), "GET", "//a//b/../c", "", 1, WB_HTTP_NO_BODY, 0, true, false, 1},
	{BYTES("GET /%00%2f%zz HTTP/1.1\r\n" HOST "\r\n"), "GET", "/%00%2f%zz", "", 1, WB_HTTP_NO_BODY, 0, true, false, 1},
	{BYTES("GET /!\"$%&'()*+,-.:;<=>@[\\]^_`{|}~ HTTP/1.1\r\n" HOST "\r\n"), "GET", "/!\"$%&'()*+,-.:;<=>@[\\]^_`{|}~", "", 1, WB_HTTP_NO_BODY, 0, true, false, 1},
	{BYTES("GET http://example.com/a?b HTTP/1.1\r\n" HOST "\r\n"), "GET", "/a", "b", 1, WB_HTTP_NO_BODY, 0, true, false, 1},
	{BYTES("GET http://example.com HTTP/1.1\r\n" HOST "\r\n"), "GET", "/", "", 1, WB_HTTP_NO_BODY, 0, true, false, 1},
	{BYTES("GET http://example.com?b=/c HTTP/1.1\r\n" HOST "\r\n"), "GET", "/", "b=/c", 1, WB_HTTP_NO_BODY, 0, true, false, 1},
	{BYTES("GET https://example.com:443/ HTTP/1.1\r\n" HOST "\r\n"), "GET", "/", "", 1, WB_HTTP_NO_BODY, 0, true, false, 1},
	{BYTES("GET https://[::1]:8090 HTTP/1.1\r\n" HOST "\r\n"), "GET", "/", "", 1, WB_HTTP_NO_BODY, 0, true, false, 1},
	{BYTES("GET HtTpS://a/@ HTTP/1.0\r\n\r\n"), "GET", "/@", "", 0, WB_HTTP_NO_BODY, 0, false, false, 0},

	/* hosts */
	{BYTES(POST "Host:\r\n\r\n"), "POST", "/hooks/orders", "", 1, WB_HTTP_NO_BODY, 0, true, false, 1},
	{BYTES(POST "hOST: \t example.com:8090 \t \r\n\r\n"), "POST", "/hooks/orders", "", 1, WB_HTTP_NO_BODY, 0, true, false, 1},
	{BYTES(POST "Host: a:\r\n\r\n"), "POST", "/hooks/orders", "", 1, WB_HTTP_NO_BODY, 0, true, false, 1},
	{BYTES(POST "Host: [v1.a:b]\r\n\r\n"), "POST", "/hooks/orders", "", 1, WB_HTTP_NO_BODY, 0, true, false, 1},
	{BYTES(POST "HOST:[fe80::1%25eth0]:80\r\n\r\n"), "POST", "/hooks/orders", "", 1, WB_HTTP_NO_BODY, 0, true, false, 1},
	{BYTES(POST "Host: a_b-c.~!$&'()*+,;=%41\r\n\r\n"), "POST", "/hooks/orders", "", 1, WB_HTTP_NO_BODY, 0, true, false, 1},

	/* header lines */
	{BYTES(START "A:\r\n\r\n"), "POST", "/hooks/orders", "", 1, WB_HTTP_NO_BODY, 0, true, false, 2},
	{BYTES(START "A: \t \r\n\r\n"), "POST", "/hooks/orders", "", 1, WB_HTTP_NO_BODY, 0, true, false, 2},
	{BYTES(START "A::b:\r\nA: a\tb  c\r\n\r\n"), "POST", "/hooks/orders", "", 1, WB_HTTP_NO_BODY, 0, true, false, 3},
	{BYTES(START "!#$%&'*+-.^_`|~09azAZ: \x80\xff\"#(),/;<=>?@[\\]{}\r\n\r\n"), "POST", "/hooks/orders", "", 1, WB_HTTP_NO_BODY, 0, true, false, 2},
	{BYTES(START "Content_Length: 5\r\nContent-Lengt: 5\r\nContent-Lengthy: 5\r\n\r\n"), "POST", "/hooks/orders", "", 1, WB_HTTP_NO_BODY, 0, true, false, 4},
	{BYTES(START "Transfer_Encoding: chunked\r\nTransfer-Encodin: chunked\r\n\r\n"), "POST", "/hooks/orders", "", 1, WB_HTTP_NO_BODY, 0, true, false, 3},
	{BYTES(START "Hos7: a\r\nExpecu: b\r\nConnectiom: close\r\n\r\n"), "POST", "/hooks/orders", "", 1, WB_HTTP_NO_BODY, 0, true, false, 4},

	/* Content-Length */
	{BYTES(START "Content-Length: 0\r\n\r\n"), "POST", "/hooks/orders", "", 1, WB_HTTP_LENGTH, 0, true, false, 2},
	{BYTES(START "Content-Length:5\r\n\r\n"), "POST", "/hooks/orders", "", 1, WB_HTTP_LENGTH, 5, true, false, 2},
	{BYTES(START "CONTENT-length: \t 1234567890 \t\r\n\r\n"), "POST", "/hooks/orders", "", 1, WB_HTTP_LENGTH, 1234567890, true, false, 2},
	{BYTES(START "Content-Length: 0000000000000000000000000000042\r\n\r\n"), "POST", "/hooks/orders", "", 1, WB_HTTP_LENGTH, 42, true, false, 2},
	{BYTES(START "Content-Length: 4611686018427387904\r\n\r\n"), "POST", "/hooks/orders", "", 1, WB_HTTP_LENGTH, UINT64_C(1) << 62, true, false, 2},
	{BYTES(POST10 "Content-Length: 7\r\n\r\n"), "POST", "/hooks/orders", "", 0, WB_HTTP_LENGTH, 7, false, false, 1},

	/* Transfer-Encoding */
	{BYTES(START "Transfer-Encoding: chunked\r\n\r\n"), "POST", "/hooks/orders", "", 1, WB_HTTP_CHUNKED, 0, true, false, 2},
	{BYTES(START "tRANSFER-eNCODING:\tcHUNKED \r\n\r\n"), "POST", "/hooks/orders", "", 1, WB_HTTP_CHUNKED, 0, true, false, 2},

	/* Connection */
	{BYTES(START "Connection: close\r\n\r\n"), "POST", "/hooks/orders", "", 1, WB_HTTP_NO_BODY, 0, false, false, 2},
	{BYTES(START "connection: CLOSE\r\n\r\n"), "POST", "/hooks/orders", "", 1, WB_HTTP_NO_BODY, 0, false, false, 2},
	{BYTES(START "Connection: keep-alive\r\n\r\n"), "POST", "/hooks/orders", "", 1, WB_HTTP_NO_BODY, 0, true, false, 2},
	{BYTES(START "Connection: Keep-Alive, Close\r\n\r\n"), "POST", "/hooks/orders", "", 1, WB_HTTP_NO_BODY, 0, false, false, 2},
	{BYTES(START "Connection: close\r\nConnection: keep-alive\r\n\r\n"), "POST", "/hooks/orders", "", 1, WB_HTTP_NO_BODY, 0, false, false, 3},
	{BYTES(START "Connection: ,, TE ,close,\r\n\r\n"), "POST", "/hooks/orders", "", 1, WB_HTTP_NO_BODY, 0, false, false, 2},
	{BYTES(START "Connection: closed, xclose, \"close\"\r\n\r\n"), "POST", "/hooks/orders", "", 1, WB_HTTP_NO_BODY, 0, true, false, 2},
	{BYTES(START "Connection:\r\n\r\n"), "POST", "/hooks/orders", "", 1, WB_HTTP_NO_BODY, 0, true, false, 2},
	{BYTES(POST10 "Connection: keep-alive\r\n\r\n"), "POST", "/hooks/orders", "", 0, WB_HTTP_NO_BODY, 0, true, false, 1},
	{BYTES(POST10 "Connection: x\t,\tKEEP-ALIVE\r\n\r\n"), "POST", "/hooks/orders", "", 0, WB_HTTP_NO_BODY, 0, true, false, 1},
	{BYTES(POST10 "Connection: keep-alive\r\nConnection: close\r\n\r\n"), "POST", "/hooks/orders", "", 0, WB_HTTP_NO_BODY, 0, false, false, 2},
	{BYTES(POST10 "Connection: upgrade\r\n\r\n"), "POST", "/hooks/orders", "", 0, WB_HTTP_NO_BODY, 0, false, false, 1},

	/* Expect */
	{BYTES(START "Expect: 100-continue\r\n\r\n"), "POST", "/hooks/orders", "", 1, WB_HTTP_NO_BODY, 0, true, true, 2},
	{BYTES(START "eXPECT: 100-CONTINUE\r\nContent-Length: 5\r\n\r\n"), "POST", "/hooks/orders", "", 1, WB_HTTP_LENGTH, 5, true, true, 3},
	{BYTES(START "Expect: 100-continue, 100-continue\r\n\r\n"), "POST", "/hooks/orders", "", 1, WB_HTTP_NO_BODY, 0, true, true, 2},
	{BYTES(START "Expect:\r\n\r\n"), "POST", "/hooks/orders", "", 1, WB_HTTP_NO_BODY, 0, true, false, 2},
	{BYTES(POST10 "Expect: 100-continue\r\n\r\n"), "POST", "/hooks/orders", "", 0, WB_HTTP_NO_BODY, 0, false, false, 1},
	{BYTES(POST10 "Expect: 200-ok\r\n\r\n"), "POST", "/hooks/orders", "", 0, WB_HTTP_NO_BODY, 0, false, false, 1},

	/* a typical one */
	{BYTES("POST /hooks/orders?shop=1 HTTP/1.1\r\nHost: hooks.example.com\r\nUser-Agent: Shop/1.0\r\n"
		   "Content-Type: application/json\r\nX-Shop-Signature: 3q2+7w==\r\nAccept: */*\r\n"
		   "Content-Length: 512\r\n\r\n"),
	 "POST", "/hooks/orders", "shop=1", 1, WB_HTTP_LENGTH, 512, true, false, 6}};

static const MalformedHead malformed_heads[] = {
	/* not HTTP at all */
	{400, BYTES("\x16")}, /* TLS ClientHello */
	{400, BYTES("\x80")}, /* SSL 2 */
	{400, BYTES("\0")},
	{400, BYTES(" ")},
	{400, BYTES("\t")},
	{400, BYTES("\n")},
	{400, BYTES("{")},
	{400, BYTES("\xef")}, /* byte order mark */
	{400, BYTES("GARBAGE\0")},
	{400, BYTES("GARBAGE\n")},
	{400, BYTES("SSH-2.0-OpenSSH_9.2\r")},
	{400, BYTES("PROXY T")},
	{400, BYTES("\r\n\r\n\r")},
	{400, BYTES("\rG")},
	{400, BYTES("\r\r")},
	{400, BYTES("\r\n\n")},
	{400, BYTES("\r\n ")},

	/* method */
	{400, BYTES("GET\r")},
	{400, BYTES("GET\t")},
	{400, BYTES("GET:")},
	{400, BYTES("GE\xc3")},
	{400, BYTES("G(")},
	{501, BYTES("ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFG")},

	/* target */
	{400, BYTES("GET  ")},
	{400, BYTES("GET \t")},
	{400, BYTES("GET \r")},
	{400, BYTES("GET \n")},
	{400, BYTES("GET /\n")},
	{400, BYTES("GET /\r")},
	{400, BYTES("GET /\t")},
	{400, BYTES("GET /a\0")},
	{400, BYTES("GET /a\x7f")},
	{400, BYTES("GET /a#")},
	{400, BYTES("GET /\x80")},
	{400, BYTES("GET /caf\xc3")},
	{400, BYTES("GET a")},
	{400, BYTES("GET ?")},
	{400, BYTES("GET .")},
	{400, BYTES("GET f")},
	{400, BYTES("GET hx")},
	{400, BYTES("GET http:/a")},
	{400, BYTES("GET httpx")},
	{400, BYTES("GET https:/ ")},
	{400, BYTES("GET http:// ")},
	{400, BYTES("GET https:// ")},
	{400, BYTES("GET http:///a ")},
	{400, BYTES("GET http://?a ")},
	{400, BYTES("GET http://user@example.com/ ")},
	{400, BYTES("GET http://user:word@example.com/ ")},
	{400, BYTES("GET http://a\\b/ ")},
	{400, BYTES("GET http://:80/ ")},
	{400, BYTES("GET http://a:b/ ")},
	{400, BYTES("GET http://a:80:80/ ")},
	{400, BYTES("GET http://a%2/ ")},
	{400, BYTES("GET http://a%zz/ ")},
	{400, BYTES("GET http://a[::1]/ ")},
	{400, BYTES("GET http://[::1/ ")},
	{400, BYTES("GET http://[]/ ")},
	{400, BYTES("GET http://[::1]a/ ")},
	{400, BYTES("GET http://a/#")},
	{400, BYTES("CONNECT ")},
	{400, BYTES("GET e")},
	{400, BYTES("GET 1")},
	{400, BYTES("GET http:8")},
	{400, BYTES("OPTIONS * HTTP/1.1\r\n")},
	{400, BYTES("OPTIONS * HTTP/1.0\r\n")},
	{400, BYTES("GET ** ")},
	{400, BYTES("GET *?a ")},

	/* version */
	{400, BYTES("GET / \r")},
	{400, BYTES("GET / \n")},
	{400, BYTES("GET /  ")},
	{400, BYTES("GET / h")},
	{400, BYTES("GET / HTTPS")},
	{400, BYTES("GET / HTTP ")},
	{400, BYTES("GET / HTTP/ ")},
	{400, BYTES("GET / HTTP/\r")},
	{400, BYTES("GET / HTTP/.")},
	{400, BYTES("GET / HTTP/x")},
	{400, BYTES("GET / HTTP/11")},
	{400, BYTES("GET / HTTP/1,")},
	{400, BYTES("GET / HTTP/1\r")},
	{400, BYTES("GET / HTTP/1.\r")},
	{400, BYTES("GET / HTTP/1.x")},
	{400, BYTES("GET / HTTP/1.10")},
	{400, BYTES("GET / HTTP/1.1 ")},
	{400, BYTES("GET / HTTP/1.1\t")},
	{400, BYTES("GET / HTTP/1.1\n")},
	{400, BYTES("GET / HTTP/1.1\r\r")},
	{400, BYTES("GET / HTTP/1.1\r ")},
	{400, BYTES("GET / HTTP/1.1\0")},
	{400, BYTES("GET /a b")},
	{505, BYTES("PRI * HTTP/2.0\r\n")},
	{505, BYTES("GET / HTTP/2.0\r\n")},
	{505, BYTES("GET / HTTP/1.2\r\n")},
	{505, BYTES("GET / HTTP/1.9\r\n")},
	{505, BYTES("GET / HTTP/0.9\r\n")},
	{505, BYTES("GET / HTTP/0.0\r\n")},
	{505, BYTES("GET / HTTP/3.1\r\n")},
	{505, BYTES("GET / HTTP/9.9\r\n")},

	/* line ends */
	{400, BYTES(START "\n")},
	{400, BYTES(START "\r\r")},
	{400, BYTES(START "\rA")},
	{400, BYTES(START "\r ")},
	{400, BYTES(START "A: b\n")},
	{400, BYTES(START "A: b\r\r")},
	{400, BYTES(START "A: b\rC")},
	{400, BYTES(START "A: b\r\0")},
	{400, BYTES(START "A: b\r ")},
	{400, BYTES(START "A: b\r\n\n")},
	{400, BYTES(START "A: b\r\n\r\r")},
	{400, BYTES(START "A:\n")},
	{400, BYTES(START "A: \rb")},

	/* white space where it hides something, obs-fold */
	{400, BYTES(POST " ")},
	{400, BYTES(POST "\t")},
	{400, BYTES(START " ")},
	{400, BYTES(START "\t")},
	{400, BYTES(START "A: b\r\n ")},
	{400, BYTES(START "A: b\r\n\t")},
	{400, BYTES(START "A ")},
	{400, BYTES(START "A\t")},
	{400, BYTES(START "Content-Length ")},
	{400, BYTES(START "Content-Length\t")},
	{400, BYTES(START "Transfer-Encoding ")},
	{400, BYTES(START "Transfer-Encoding\v")},
	{400, BYTES(START "Transfer-Encoding:\v")},
	{400, BYTES(START "Transfer-Encoding: \f")},
	{400, BYTES(START "Transfer-Encoding: \0")},
	{400, BYTES(START "Transfer-Encoding:\n")},
	{400, BYTES(START "Foo: bar\n")},

	/* names */
	{400, BYTES(START ":")},
	{400, BYTES(START "A\r")},
	{400, BYTES(START "A\n")},
	{400, BYTES(START "A\0")},
	{400, BYTES(START "A(")},
	{400, BYTES(START "A)")},
	{400, BYTES(START "A,")},
	{400, BYTES(START "A/")},
	{400, BYTES(START "A;")},
	{400, BYTES(START "A=")},
	{400, BYTES(START "A@")},
	{400, BYTES(START "A[")},
	{400, BYTES(START "A\\")},
	{400, BYTES(START "A{")},
	{400, BYTES(START "\"")},
	{400, BYTES(START "A\x80")},
	{400, BYTES(START "A\x7f")},

	/* values */
	{400, BYTES(START "A: b\0")},
	{400, BYTES(START "A: b\x01")},
	{400, BYTES(START "A: b\x08")},
	{400, BYTES(START "A: b\v")},
	{400, BYTES(START "A: b\f")},
	{400, BYTES(START "A: b\x1b")},
	{400, BYTES(START "A: b\x1f")},
	{400, BYTES(START "A: b\x7f")},
	{400, BYTES(START "A: 1234567\x7f")},
	{400, BYTES(START "A: 12345678\x1f")},

	/* Content-Length */
	{400, BYTES(START "Content-Length:\r\n")},
	{400, BYTES(START "Content-Length: \t\r\n")},
	{400, BYTES(START "Content-Length: +5\r\n")},
	{400, BYTES(START "Content-Length: -5\r\n")},
	{400, BYTES(START "Content-Length: -0\r\n")},
	{400, BYTES(START "Content-Length: 5,5\r\n")},
	{400, BYTES(START "Content-Length: 5, 5\r\n")},
	{400, BYTES(START "Content-Length: 5,\r\n")},
	{400, BYTES(START "Content-Length: ,5\r\n")},
	{400, BYTES(START "Content-Length: 5 5\r\n")},
	{400, BYTES(START "Content-Length: 5;\r\n")},
	{400, BYTES(START "Content-Length: 5.0\r\n")},
	{400, BYTES(START "Content-Length: 5e0\r\n")},
	{400, BYTES(START "Content-Length: 0x5\r\n")},
	{400, BYTES(START "Content-Length: 5a\r\n")},
	{400, BYTES(START "Content-Length: a5\r\n")},
	{400, BYTES(START "Content-Length: \"5\"\r\n")},
	{400, BYTES(START "Content-Length: 5_0\r\n")},
	{400, BYTES(START "Content-Length: \xd9\xa5\r\n")}, /* a digit in Unicode */
	{400, BYTES(START "Content-Length: \xa0 5\r\n")},
	{400, BYTES(START "Content-Length: :\r\n")},
	{400, BYTES(START "Content-Length: /\r\n")},
	{400, BYTES(START "Content-Length: 5\r\n ")},
	{400, BYTES(START "Content-Length: 4611686018427387905\r\n")},
	{400, BYTES(START "Content-Length: 9223372036854775808\r\n")},
	{400, BYTES(START "Content-Length: 18446744073709551615\r\n")},
	{400, BYTES(START "Content-Length: 18446744073709551616\r\n")},
	{400, BYTES(START "Content-Length: 18446744073709551621\r\n")},
	{400, BYTES(START "Content-Length: 184467440737095516165\r\n")},
	{400, BYTES(START "Content-Length: " FIFTY "\r\n")},
	{400, BYTES(START "Content-Length: 5\r\nContent-Length: 5\r\n")},
	{400, BYTES(START "Content-Length: 5\r\nContent-Length: 6\r\n")},
	{400, BYTES(START "Content-Length: 0\r\nA: b\r\ncontent-length: 0\r\n")},
	{400, BYTES(START "Content-Length: 5\r\nContent-Length:\r\n")},

	/* both lengths, in either order */
	{400, BYTES(START "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n")},
	{400, BYTES(START "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n")},
	{400, BYTES(START "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n")},
	{400, BYTES(START "Content-Length: 5\r\nTransfer-Encoding: gzip\r\n")},
	{400, BYTES(START "Content-Length: 5\r\nTransfer-Encoding: identity\r\n")},

	/* Transfer-Encoding */
	{400, BYTES(POST10 "Transfer-Encoding: chunked\r\n\r\n")},
	{400, BYTES(POST10 HOST "Transfer-Encoding: gzip\r\n")},
	{400, BYTES(POST10 HOST "Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n")},
	{400, BYTES(START "Transfer-Encoding:\r\n")},
	{400, BYTES(START "Transfer-Encoding: ,\r\n")},
	{400, BYTES(START "Transfer-Encoding: chunked,\r\n")},
	{400, BYTES(START "Transfer-Encoding: ,chunked\r\n")},
	{400, BYTES(START "Transfer-Encoding: chunked, chunked\r\n")},
	{400, BYTES(START "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n")},
	{400, BYTES(START "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n")},
	{400, BYTES(START "Transfer-Encoding: chunked\r\nTransfer-Encoding:\r\n")},
	{400, BYTES(START "Transfer-Encoding: chunked, gzip\r\n")},
	{400, BYTES(START "Transfer-Encoding: chunked, identity\r\n")},
	{400, BYTES(START "Transfer-Encoding: chunked;q=1\r\n")},
	{400, BYTES(START "Transfer-Encoding: \"chunked\"\r\n")},
	{400, BYTES(START "Transfer-Encoding: chun ked\r\n")},
	{400, BYTES(START "Transfer-Encoding: chunked chunked\r\n")},
	{400, BYTES(START "Transfer-Encoding: chunked\xa0\r\n")},
	{400, BYTES(START "Transfer-Encoding: [chunked]\r\n")},
	{400, BYTES(START "Transfer-Encoding: :chunked\r\n")},
	{400, BYTES(START "Transfer-Encoding: gzip\r\n")},
	{400, BYTES(START "Transfer-Encoding: identity\r\n")},
	{400, BYTES(START "Transfer-Encoding: xchunked\r\n")},
	{400, BYTES(START "Transfer-Encoding: chunkedx\r\n")},
	{400, BYTES(START "Transfer-Encoding: chunke\r\n")},
	{400, BYTES(START "Transfer-Encoding: 'chunked'\r\n")},
	{400, BYTES(START "Transfer-Encoding: gzip, chunked\r\n")},

	/* Host */
	{400, BYTES(POST "\r\n")},
	{400, BYTES(POST "A: b\r\n\r\n")},
	{400, BYTES(POST "Hosts: a\r\n\r\n")},
	{400, BYTES("GET http://example.com/ HTTP/1.1\r\n\r\n")},
	{400, BYTES(START "Host: example.com\r\n")},
	{400, BYTES(START "host: other.example\r\n")},
	{400, BYTES(POST "Host:\r\nHost:\r\n")},
	{400, BYTES(POST10 "Host: a\r\nHost: b\r\n")},
	{400, BYTES(POST "Host: a b\r\n")},
	{400, BYTES(POST "Host: a, b\r\n")},
	{400, BYTES(POST "Host: a\tb\r\n")},
	{400, BYTES(POST "Host: a/b\r\n")},
	{400, BYTES(POST "Host: http://a\r\n")},
	{400, BYTES(POST "Host: user@a\r\n")},
	{400, BYTES(POST "Host: a?b\r\n")},
	{400, BYTES(POST "Host: a#b\r\n")},
	{400, BYTES(POST "Host: a\\b\r\n")},
	{400, BYTES(POST "Host: a\"b\r\n")},
	{400, BYTES(POST "Host: <a>\r\n")},
	{400, BYTES(POST "Host: b\xc3\xbc"
					 "cher.example\r\n")},
	{400, BYTES(POST10 "Host: a b\r\n")},
	{400, BYTES(POST "Host: :80\r\n")},
	{400, BYTES(POST "Host: a:b\r\n")},
	{400, BYTES(POST "Host: a:80:80\r\n")},
	{400, BYTES(POST "Host: a:-1\r\n")},
	{400, BYTES(POST "Host: ::1\r\n")},
	{400, BYTES(POST "Host: %\r\n")},
	{400, BYTES(POST "Host: a%4\r\n")},
	{400, BYTES(POST "Host: a%4g\r\n")},
	{400, BYTES(POST "Host: a]\r\n")},
	{400, BYTES(POST "Host: a[b]\r\n")},
	{400, BYTES(POST "Host: [\r\n")},
	{400, BYTES(POST "Host: []\r\n")},
	{400, BYTES(POST "Host: [::1\r\n")},
	{400, BYTES(POST "Host: [[::1]]\r\n")},
	{400, BYTES(POST "Host: [::1]a\r\n")},
	{400, BYTES(POST "Host: [::1]:a\r\n")},

	/* Expect */
	{417, BYTES(START "Expect: 200-ok\r\n\r\n")},
	{417, BYTES(START "Expect: 100-continue-not\r\n\r\n")},
	{417, BYTES(START "Expect: 100-continue, other\r\n\r\n")},
	{417, BYTES(START "Expect: other\r\nExpect: 100-continue\r\n\r\n")},
	{417, BYTES(START "Expect: 100-continue;a=b\r\n\r\n")},
	{417, BYTES(START "Expect: 100 continue\r\n\r\n")},

	/* malformed goes before Expect */
	{400, BYTES(POST "Expect: other\r\nTransfer-Encoding: gzip\r\n")},
	{400, BYTES(START "Expect: other\r\nTransfer-Encoding: gzip\r\n")}};

/* What a malformed sample may go on with. */
static const char *const continuations[] = {
	"\r\n\r\n", " HTTP/1.1\r\nHost: example.com\r\n\r\n", ": b\r\n\r\n", "\n\n", "\r\nHost: a\r\n\r\n", " / HTTP/1.1\r\nHost: a\r\n\r\nA: "};

/* Parses a copy that ends (or begins) at an unreadable page. */
static int
parse_guarded(const char *data, size_t len, size_t seen, bool front)
{
	static WbHttpHead head;
	char *copy = front ? guarded_front(data, len) : guarded(data, len);
	int result = wb_http_parse_head(copy, len, seen, &head);

	guarded_free(copy);
	return result;
}

/* Parses what arrives byte by byte, until there is a verdict. */
static int
parse_trickle(const char *data, size_t len)
{
	static WbHttpHead head;
	int result = WB_HTTP_INCOMPLETE;

	for (size_t i = 1; i <= len && result == WB_HTTP_INCOMPLETE; i++)
		result = wb_http_parse_head(data, i, i - 1, &head);
	return result;
}

static void
check_valid_head(const ValidHead *sample)
{
	WbHttpHead head;
	char *copy = guarded(sample->data, sample->len);

	if (CHECK_INT(wb_http_parse_head(copy, sample->len, 0, &head), sample->len))
	{
		CHECK_SLICE(head.method, sample->method);
		CHECK_SLICE(head.path, sample->path);
		CHECK_SLICE(head.query, sample->query);
		CHECK_INT(head.minor_version, sample->minor_version);
		CHECK_INT(head.framing, sample->framing);
		if (sample->framing == WB_HTTP_LENGTH)
			CHECK_INT(head.content_length, sample->content_length);
		CHECK_INT(head.keep_alive, sample->keep_alive);
		CHECK_INT(head.expect_continue, sample->expect_continue);
		CHECK_INT(head.header_count, sample->header_count);
	}
	guarded_free(copy);
}

static void
test_valid_heads(void)
{
	for (int i = 0; i < LENGTHOF(valid_heads); i++)
	{
		const ValidHead *sample = &valid_heads[i];
		char longer[1024];

		unit_case("valid head %d: %.60s", i, sample->data);
		check_valid_head(sample);
		CHECK_INT(parse_guarded(sample->data, sample->len, 0, true), sample->len);

		/* What follows the head does not matter, however odd. */
		memcpy(longer, sample->data, sample->len);
		memcpy(longer + sample->len, "\0\r\n ", 4);
		CHECK_INT(parse_guarded(longer, sample->len + 4, 0, false), sample->len);
		memcpy(longer + sample->len, sample->data, sample->len);
		CHECK_INT(parse_guarded(longer, 2 * sample->len, 0, false), sample->len);
	}
}

static void
test_valid_heads_in_pieces(void)
{
	for (int i = 0; i < LENGTHOF(valid_heads); i++)
	{
		const ValidHead *sample = &valid_heads[i];

		for (size_t n = 0; n < sample->len; n++)
		{
			unit_case("valid head %d, first %zu bytes: %.60s", i, n, sample->data);
			CHECK_INT(parse_guarded(sample->data, n, 0, false), WB_HTTP_INCOMPLETE);
			CHECK_INT(parse_guarded(sample->data, sample->len, n, false), sample->len);
		}
		CHECK_INT(parse_trickle(sample->data, sample->len), sample->len);
	}
}

static void
test_malformed_heads(void)
{
	for (int i = 0; i < LENGTHOF(malformed_heads); i++)
	{
		const MalformedHead *sample = &malformed_heads[i];

		for (size_t n = 0; n < sample->len; n++)
		{
			unit_case("malformed head %d, first %zu bytes: %.200s", i, n, sample->data);
			CHECK_INT(parse_guarded(sample->data, n, 0, false), WB_HTTP_INCOMPLETE);
			CHECK_INT(parse_guarded(sample->data, sample->len, n, false), -sample->status);
		}
		unit_case("malformed head %d: %.200s", i, sample->data);
		CHECK_INT(parse_guarded(sample->data, sample->len, 0, true), -sample->status);
		CHECK_INT(parse_trickle(sample->data, sample->len), -sample->status);
		for (int k = 0; k < LENGTHOF(continuations); k++)
		{
			char longer[1024];
			size_t more = strlen(continuations[k]);

			memcpy(longer, sample->data, sample->len);
			memcpy(longer + sample->len, continuations[k], more);
			for (size_t n = 1; n <= more; n++)
				CHECK_INT(parse_guarded(longer, sample->len + n, 0, false), -sample->status);
		}
	}
}

/*
 * The same samples behind so much harmless matter that the parser no longer
 * looks at every byte that arrives.
 */
static void
test_malformed_heads_late(void)
{
	static const char padding[] = "X-Padding: " FIFTY FIFTY FIFTY FIFTY FIFTY FIFTY FIFTY "\r\n";
	size_t padding_len = sizeof(padding) - 1;

	for (int i = 0; i < LENGTHOF(malformed_heads); i++)
	{
		const MalformedHead *sample = &malformed_heads[i];
		char late[2048];
		size_t line_len = strlen(POST);
		size_t len = sample->len + padding_len + 4;

		if (sample->len <= line_len || (memcmp(sample->data, POST, line_len) != 0 && memcmp(sample->data, POST10, line_len) != 0))
			continue;
		memcpy(late, sample->data, line_len);
		memcpy(late + line_len, padding, padding_len);
		memcpy(late + line_len + padding_len, sample->data + line_len, sample->len - line_len);
		memcpy(late + len - 4, "\r\n\r\n", 4);

		unit_case("malformed head %d, late: %.200s", i, sample->data);
		CHECK_INT(parse_guarded(late, len - 4, 0, false), -sample->status);
		CHECK_INT(parse_trickle(late, len), -sample->status);
		for (size_t n = 0; n < len - 4; n++)
			if (parse_guarded(late, n, 0, false) == WB_HTTP_INCOMPLETE)
				CHECK_INT(parse_guarded(late, len, n, false), -sample->status);
	}
}

/* Bytes that a trickling sender cannot hide behind what was seen before. */
static void
test_refused_at_once_when_late(void)
{
	static const char head[] = START "X-Padding: " FIFTY FIFTY FIFTY FIFTY FIFTY FIFTY;
	size_t len = sizeof(head) - 1;

	for (int c = 0; c < 256; c++)
	{
		char data[sizeof(head) + 2];
		bool allowed = c == '\t' || c == '\r' || (c >= 0x20 && c != 0x7f);

		unit_case("byte 0x%02x", c);
		memcpy(data, head, len);
		data[len] = (char) c;
		CHECK_INT(parse_guarded(data, len + 1, len, false), allowed ? WB_HTTP_INCOMPLETE : -400);

		/* and the one behind a CR, and the first one of a line */
		data[len] = '\r';
		data[len + 1] = (char) c;
		CHECK_INT(parse_guarded(data, len + 2, len + 1, false), c == '\n' ? WB_HTTP_INCOMPLETE : -400);
	}
	unit_case("blank at the start of a line");
	CHECK_INT(parse_guarded(BYTES(START "A: " FIFTY FIFTY FIFTY FIFTY FIFTY FIFTY "\r\n "), sizeof(START) + 306, false), -400);
}

/* Whether the RFCs list the byte, written down independently of the parser. */
static bool
is_listed(int c, const char *others)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c > 0 && strchr(others, c) != NULL);
}

/* Parses the text with the byte in place of the "\x01". */
static void
check_byte(const char *text, int c, bool allowed)
{
	char data[100];
	size_t len = strlen(text);

	memcpy(data, text, len);
	data[strchr(text, '\x01') - text] = (char) c;
	CHECK_INT(parse_guarded(data, len, 0, false), allowed ? (int) len : -400);
}

static void
test_every_byte_everywhere(void)
{
	const char *token = "!#$%&'*+-.^_`|~";

	for (int c = 0; c < 256; c++)
	{
		bool visible = c > 0x20 && c < 0x7f;

		unit_case("byte 0x%02x", c);
		check_byte("G\x01T / HTTP/1.1\r\nHost: a\r\n\r\n", c, is_listed(c, token));
		check_byte("GET /a\x01_ HTTP/1.1\r\nHost: a\r\n\r\n", c, visible && c != '#');
		check_byte("GET / HTTP/1.1\r\nHost: a\r\nA\x01: c\r\n\r\n", c, is_listed(c, token) || c == ':');
		check_byte("GET / HTTP/1.1\r\nHost: a\r\nA: b\x01"
				   "c\r\n\r\n",
				   c, visible || c == '\t' || c == ' ' || c >= 0x80);
		check_byte("GET / HTTP/1.1\r\nHost: a\x01"
				   "b\r\n\r\n",
				   c, is_listed(c, "-._~!$&'()*+,;="));
		check_byte("GET http://a\x01"
				   "b/ HTTP/1.1\r\nHost: a\r\n\r\n",
				   c, is_listed(c, "/?-._~!$&'()*+,;="));
	}
}

static void
test_header_slices(void)
{
	static const char data[] = "GET / HTTP/1.1\r\nHoSt:a\r\nX-One: \t a b\t\r\nx-one:\r\nX: \t \r\nY: :z: \r\n\r\n";
	WbHttpHead head;

	CHECK_INT(wb_http_parse_head(data, sizeof(data) - 1, 0, &head), sizeof(data) - 1);
	CHECK_INT(head.header_count, 5);
	CHECK_SLICE(head.headers[0].name, "HoSt");
	CHECK_SLICE(head.headers[0].value, "a");
	CHECK_SLICE(head.headers[1].name, "X-One");
	CHECK_SLICE(head.headers[1].value, "a b");
	CHECK_SLICE(head.headers[2].name, "x-one");
	CHECK_SLICE(head.headers[2].value, "");
	CHECK_SLICE(head.headers[3].name, "X");
	CHECK_SLICE(head.headers[3].value, "");
	CHECK_SLICE(head.headers[4].value, ":z:");
}

/* Writes a head whose target has that many bytes; returns its length. */
static size_t
make_long_target(char *data, size_t target_len)
{
	memcpy(data, "GET /", 5);
	memset(data + 5, 'a', target_len - 1);
	memcpy(data + 4 + target_len, " HTTP/1.1\r\nHost: a\r\n\r\n", 22);
	return target_len + 26;
}

static void
test_long_targets(void)
{
	static char data[20000];
	size_t len = make_long_target(data, 8000);

	CHECK_INT(parse_guarded(data, len, 0, false), len);
	CHECK_INT(parse_trickle(data, len), len);

	len = make_long_target(data, 8001);
	CHECK_INT(parse_guarded(data, 8004, 0, false), WB_HTTP_INCOMPLETE);
	CHECK_INT(parse_guarded(data, 8005, 0, false), -414);
	CHECK_INT(parse_guarded(data, len, 0, false), -414);
	CHECK_INT(parse_guarded(data, len, 4000, false), -414);
	CHECK_INT(parse_trickle(data, len), -414);

	/* also when no end of it ever comes */
	len = make_long_target(data, 19000);
	CHECK_INT(parse_trickle(data, 8200), -414);
	CHECK_INT(parse_guarded(data, len, 0, false), -414);
}

static void
test_header_count(void)
{
	char data[4096];
	size_t len = (size_t) snprintf(data, sizeof(data), "GET / HTTP/1.1\r\nHost: a\r\n");
	WbHttpHead head;

	for (int i = 1; i < WB_HTTP_MAX_HEADERS; i++)
		len += (size_t) snprintf(data + len, sizeof(data) - len, "a%d: b\r\n", i);
	memcpy(data + len, "\r\n", 2);
	CHECK_INT(parse_guarded(data, len, 0, false), WB_HTTP_INCOMPLETE);
	CHECK_INT(wb_http_parse_head(data, len + 2, 0, &head), len + 2);
	CHECK_INT(head.header_count, WB_HTTP_MAX_HEADERS);
	CHECK_SLICE(head.headers[WB_HTTP_MAX_HEADERS - 1].name, "a99");
	CHECK_INT(parse_trickle(data, len + 2), len + 2);

	memcpy(data + len, "x: y\r\n\r\n", 8);
	CHECK_INT(parse_guarded(data, len + 1, 0, false), -431);
	CHECK_INT(parse_guarded(data, len + 8, 0, false), -431);
	CHECK_INT(parse_guarded(data, len + 8, len, false), -431);
	CHECK_INT(parse_trickle(data, len + 8), -431);
}

/* ---------------------------------------------------------------- chunks */

typedef struct ValidChunks
{
	const char *data;
	size_t len;
	const char *body;
	const char *rest; /* what follows the body */
} ValidChunks;

typedef struct MalformedChunks
{
	const char *data;
	size_t len;
} MalformedChunks;

static const ValidChunks valid_chunks[] = {
	{BYTES("0\r\n\r\n"), "", ""},
	{BYTES("0000000000000000\r\n\r\n"), "", ""},
	{BYTES("5\r\nhello\r\n0\r\n\r\n"), "hello", ""},
	{BYTES("5\r\nhello\r\n0\r\n\r\nGET / HTTP/1.1\r\n"), "hello", "GET / HTTP/1.1\r\n"},
	{BYTES("5\r\nhello\r\n1\r\n \r\n5\r\nworld\r\n00\r\n\r\n0\r\n\r\n"), "hello world", "0\r\n\r\n"},
	{BYTES("a\r\n0123456789\r\n0\r\n\r\n"), TEN, ""},
	{BYTES("A\r\n0123456789\r\n0\r\n\r\n"), TEN, ""},
	{BYTES("00000000000000a\r\n0123456789\r\n0\r\n\r\n"), TEN, ""},
	{BYTES("32\r\n" FIFTY "\r\n0\r\n\r\n"), FIFTY, ""},
	{BYTES("4\r\n\r\n\r\n\r\n0\r\n\r\n"), "\r\n\r\n", ""},
	{BYTES("5\r\n0\r\n\r\n\r\n0\r\n\r\n\n"), "0\r\n\r\n", "\n"},
	{BYTES("2;a=b\r\nok\r\n0;c\r\n\r\n"), "ok", ""},
	{BYTES("2;\r\nok\r\n0\r\n\r\n"), "ok", ""},
	{BYTES("2 \t;a = \"b;\\\"\x80\" ; c\r\nok\r\n0 ;d\r\n\r\nx"), "ok", "x"},
	{BYTES("0\r\nA: b\r\n\r\n"), "", ""},
	{BYTES("2\r\nok\r\n0\r\nX-Sum: 1\tz \x80\r\nContent-Length: 9\r\nE:\r\n\r\n\r\n"), "ok", "\r\n"}};

static const MalformedChunks malformed_chunks[] = {
	{BYTES("\r")},
	{BYTES("\n")},
	{BYTES(" ")},
	{BYTES(";")},
	{BYTES("g")},
	{BYTES("G")},
	{BYTES("@")},
	{BYTES("/")},
	{BYTES(":")},
	{BYTES("`")},
	{BYTES("+")},
	{BYTES("-")},
	{BYTES("\0")},
	{BYTES("0x")},
	{BYTES("5h")},
	{BYTES("5_")},
	{BYTES("5,")},
	{BYTES("5\n")},
	{BYTES("5\r\r")},
	{BYTES("5\rh")},
	{BYTES("5 \r")},
	{BYTES("5 5")},
	{BYTES("5\t\n")},
	{BYTES("5\v")},
	{BYTES("5;a\n")},
	{BYTES("5;a\r\r")},
	{BYTES("5;a\0")},
	{BYTES("5;a\x7f")},
	{BYTES("5;a\"\x1f")},
	{BYTES("00000000000000000")},
	{BYTES("00000000000000005")},
	{BYTES("4000000000000001")},
	{BYTES("7fffffffffffffff")},
	{BYTES("8000000000000000")},
	{BYTES("FFFFFFFFFFFFFFFF")},
	{BYTES("10000000000000000")},
	{BYTES("5\r\nhello0")},
	{BYTES("5\r\nhello ")},
	{BYTES("5\r\nhello\n")},
	{BYTES("5\r\nhello\r\r")},
	{BYTES("5\r\nhello\r0")},
	{BYTES("5\r\nhello\r\n\r")},
	{BYTES("5\r\nhello\r\ng")},
	{BYTES("0\r\n\n")},
	{BYTES("0\n")},
	{BYTES("0\r\n\r\r")},
	{BYTES("0\r\n\rG")},
	{BYTES("0\r\n ")},
	{BYTES("0\r\n:")},
	{BYTES("0\r\n\0")},
	{BYTES("0\r\nA ")},
	{BYTES("0\r\nA\r")},
	{BYTES("0\r\nA\n")},
	{BYTES("0\r\nGET ")},
	{BYTES("0\r\nA: b\n")},
	{BYTES("0\r\nA: b\0")},
	{BYTES("0\r\nA: b\x7f")},
	{BYTES("0\r\nA: b\rc")},
	{BYTES("0\r\nA: b\r\n ")},
	{BYTES("0\r\nA: b\r\n\n")},
	{BYTES("0\r\nA: b\r\n\r\r")}};

/*
 * Decodes in pieces, each in a guarded copy of its own, and collects the body
 * in front and what follows it behind.  Returns the last result.
 */
static ptrdiff_t
decode(const Feed *feed, char *collected, size_t *body_len)
{
	WbHttpChunks chunks = {0};
	ptrdiff_t result = WB_HTTP_CHUNKS_INCOMPLETE;
	size_t at = 0;

	*body_len = 0;
	while (at < feed->len && result == WB_HTTP_CHUNKS_INCOMPLETE)
	{
		size_t piece = feed->split == 0 ? 1 : at == 0 ? feed->split
													  : feed->len - at;
		size_t len = piece;
		char *copy = guarded(feed->data + at, piece);

		result = wb_http_decode_chunks(&chunks, copy, &len);
		if (CHECK(len <= piece && (result < 0 || len + (size_t) result <= piece)))
		{
			memcpy(collected + *body_len, copy, len + (result > 0 ? (size_t) result : 0));
			*body_len += len;
		}
		guarded_free(copy);
		at += piece;
	}

	/* What was not fed any more follows the body as well. */
	if (result >= 0)
	{
		memcpy(collected + *body_len + result, feed->data + at, feed->len - at);
		result += (ptrdiff_t) (feed->len - at);
	}
	return result;
}

static void
check_valid_chunks(const ValidChunks *sample, size_t len, size_t split)
{
	Feed feed = {sample->data, len, split};
	char collected[256];
	size_t body_len;
	ptrdiff_t result = decode(&feed, collected, &body_len);

	if (len < sample->len - strlen(sample->rest))
	{
		CHECK_INT(result, WB_HTTP_CHUNKS_INCOMPLETE);
		CHECK(body_len <= strlen(sample->body));
		CHECK_BYTES(collected, body_len, sample->body, body_len);
	}
	else if (CHECK_INT(result, len - (sample->len - strlen(sample->rest))))
	{
		CHECK_BYTES(collected, body_len, sample->body, strlen(sample->body));
		CHECK_BYTES(collected + body_len, (size_t) result, sample->rest, (size_t) result);
	}
}

static void
test_valid_chunks(void)
{
	for (int i = 0; i < LENGTHOF(valid_chunks); i++)
	{
		const ValidChunks *sample = &valid_chunks[i];

		for (size_t n = 1; n <= sample->len; n++)
		{
			unit_case("valid chunks %d at %zu: %s", i, n, sample->data);
			check_valid_chunks(sample, n, n);           /* a prefix, whole */
			check_valid_chunks(sample, n, 0);           /* a prefix, byte by byte */
			check_valid_chunks(sample, sample->len, n); /* all, in two pieces */
		}
	}
}

static void
test_malformed_chunks(void)
{
	for (int i = 0; i < LENGTHOF(malformed_chunks); i++)
	{
		const MalformedChunks *sample = &malformed_chunks[i];
		char collected[256];
		char longer[256];
		size_t body_len;

		memcpy(longer, sample->data, sample->len);
		memcpy(longer + sample->len, "\r\n0\r\n\r\n", 7);
		for (size_t n = 1; n <= sample->len; n++)
		{
			Feed prefix = {sample->data, n, n};
			Feed split = {sample->data, sample->len, n};
			Feed more = {longer, sample->len + 7, n};

			unit_case("malformed chunks %d at %zu: %s", i, n, sample->data);
			CHECK_INT(decode(&prefix, collected, &body_len), n < sample->len ? WB_HTTP_CHUNKS_INCOMPLETE : WB_HTTP_CHUNKS_INVALID);
			CHECK_INT(decode(&split, collected, &body_len), WB_HTTP_CHUNKS_INVALID);
			CHECK_INT(decode(&more, collected, &body_len), WB_HTTP_CHUNKS_INVALID);
			split.split = 0;
			CHECK_INT(decode(&split, collected, &body_len), WB_HTTP_CHUNKS_INVALID);
		}
	}
}

/* A size counts when its line is whole, and until its data is there. */
static void
test_announced_chunks(void)
{
	static const char data[] = "1f;a\r\n"
							   "0123456789"
							   "0123456789"
							   "0123456789"
							   "x\r\n2\r\nok\r\n0\r\n\r\n";
	WbHttpChunks chunks = {0};
	uint64_t expected = 0;

	CHECK_INT(wb_http_chunks_announced(&chunks), 0);
	for (size_t i = 0; i < sizeof(data) - 1; i++)
	{
		char byte = data[i];
		size_t len = 1;

		unit_case("announced chunks at %zu", i);
		(void) wb_http_decode_chunks(&chunks, &byte, &len);
		expected = i == 5 ? 31 : i == 41 ? 2
										 : expected - len;
		CHECK_INT(wb_http_chunks_announced(&chunks), expected);
	}
}

/* A decoder that has come to an end stays there. */
static void
test_chunks_after_the_end(void)
{
	WbHttpChunks chunks = {0};
	char data[] = "0\r\n\r\nGET";
	char invalid[] = "x0\r\n\r\n";
	size_t len = 8;

	CHECK_INT(wb_http_decode_chunks(&chunks, data, &len), 3);
	CHECK_INT(len, 0);
	len = 3;
	CHECK_INT(wb_http_decode_chunks(&chunks, data, &len), 3);
	CHECK_INT(len, 0);
	CHECK_BYTES(data, 3, "GET", 3);

	memset(&chunks, 0, sizeof(chunks));
	len = 1;
	CHECK_INT(wb_http_decode_chunks(&chunks, invalid, &len), WB_HTTP_CHUNKS_INVALID);
	len = 5;
	CHECK_INT(wb_http_decode_chunks(&chunks, invalid + 1, &len), WB_HTTP_CHUNKS_INVALID);
	CHECK_INT(len, 0);

	memset(&chunks, 0, sizeof(chunks));
	len = 0;
	CHECK_INT(wb_http_decode_chunks(&chunks, data, &len), WB_HTTP_CHUNKS_INCOMPLETE);
	CHECK_INT(len, 0);
}

/* The largest chunk: the decoder waits for all of it. */
static void
test_chunk_size_limit(void)
{
	WbHttpChunks chunks = {0};
	char data[] = "4000000000000000\r\nabc";
	size_t len = sizeof(data) - 1;

	CHECK_INT(wb_http_decode_chunks(&chunks, data, &len), WB_HTTP_CHUNKS_INCOMPLETE);
	CHECK_BYTES(data, len, "abc", 3);
	CHECK_INT(chunks.remaining, (UINT64_C(1) << 62) - 3);
}

/* Returns what becomes of "count" chunks with so long an extension each. */
static ptrdiff_t
decode_extensions(int count, int extension_len)
{
	static char data[8192];
	size_t len = 0;
	WbHttpChunks chunks = {0};

	for (int i = 0; i < count; i++)
		len += (size_t) snprintf(data + len, sizeof(data) - len, "1;%0*d\r\nx\r\n", extension_len - 1, 0);
	len += (size_t) snprintf(data + len, sizeof(data) - len, "0\r\n\r\n");
	return wb_http_decode_chunks(&chunks, data, &len);
}

/* Returns what becomes of a trailer section of so many bytes of lines. */
static ptrdiff_t
decode_trailer(int trailer_len, int line_len)
{
	static char data[16384];
	size_t len = (size_t) snprintf(data, sizeof(data), "0\r\n");
	WbHttpChunks chunks = {0};

	for (int i = 0; i < trailer_len / line_len; i++)
		len += (size_t) snprintf(data + len, sizeof(data) - len, "A:%0*d\r\n", line_len - 4, 0);
	len += (size_t) snprintf(data + len, sizeof(data) - len, "\r\n");
	return wb_http_decode_chunks(&chunks, data, &len);
}

static void
test_chunk_limits(void)
{
	CHECK_INT(decode_extensions(1, WB_HTTP_MAX_CHUNK_EXTENSION), 0);
	CHECK_INT(decode_extensions(1, WB_HTTP_MAX_CHUNK_EXTENSION + 1), WB_HTTP_CHUNKS_INVALID);
	CHECK_INT(decode_extensions(WB_HTTP_MAX_CHUNK_EXTENSION / 8, 8), 0);
	CHECK_INT(decode_extensions(WB_HTTP_MAX_CHUNK_EXTENSION / 8 + 1, 8), WB_HTTP_CHUNKS_INVALID);
	CHECK_INT(decode_trailer(WB_HTTP_MAX_TRAILER, WB_HTTP_MAX_TRAILER), 0);
	CHECK_INT(decode_trailer(WB_HTTP_MAX_TRAILER + 1, WB_HTTP_MAX_TRAILER + 1), WB_HTTP_CHUNKS_INVALID);
	CHECK_INT(decode_trailer(WB_HTTP_MAX_TRAILER, 16), 0);
	CHECK_INT(decode_trailer(WB_HTTP_MAX_TRAILER + 16, 16), WB_HTTP_CHUNKS_INVALID);
}

/* -------------------------------------------------------------- mutations */

static bool
name_is(const WbHeader *header, const char *name)
{
	return wb_slice_equal_nocase(header->name, wb_slice_cstring(name));
}

/* Counts the line ends; false if a CR or LF stands alone. */
static bool
count_lines(const char *data, size_t len, int *lines)
{
	*lines = 0;
	for (size_t i = 0; i < len; i++)
	{
		if (data[i] == '\r' && i + 1 < len && data[i + 1] == '\n')
		{
			(*lines)++;
			i++;
		}
		else if (data[i] == '\r' || data[i] == '\n')
			return false;
	}
	return true;
}

/* Checks what must be true of every head that was accepted. */
static void
check_accepted(const char *data, size_t len, const WbHttpHead *head)
{
	int lines;
	int hosts = 0;
	int lengths = 0;
	int codings = 0;

	CHECK(len >= 4 && memcmp(data + len - 4, "\r\n\r\n", 4) == 0);
	CHECK(count_lines(data, len, &lines));
	CHECK(lines >= head->header_count + 2 && lines <= head->header_count + 4);
	CHECK(head->path.len > 0 && head->path.data[0] == '/');
	for (int i = 0; i < head->header_count; i++)
	{
		const WbHeader *header = &head->headers[i];

		CHECK(header->name.len > 0 && header->name.data[header->name.len] == ':');
		CHECK(header->value.data > header->name.data + header->name.len);
		CHECK(header->value.data + header->value.len <= data + len - 4);
		hosts += name_is(header, "Host");
		lengths += name_is(header, "Content-Length");
		codings += name_is(header, "Transfer-Encoding");
	}
	CHECK(hosts == 1 || (hosts == 0 && head->minor_version == 0));
	CHECK(lengths + codings <= 1);
	CHECK_INT(head->framing, lengths ? WB_HTTP_LENGTH : codings ? WB_HTTP_CHUNKED
																: WB_HTTP_NO_BODY);
	CHECK(codings == 0 || head->minor_version == 1);
}

/* Changes a few bytes; returns the new length, at most capacity. */
static size_t
mutate(char *data, size_t len, size_t capacity, uint64_t *seed)
{
	static const char spicy[] = "\r\n\r\n\r\n  \t::,;\0\x7f\x80/?*0159azAZ";

	for (uint32_t n = unit_random(seed) % 3 + 1; n > 0 && len > 0; n--)
	{
		size_t at = unit_random(seed) % len;
		char c = spicy[unit_random(seed) % (sizeof(spicy) - 1)];
		size_t run = unit_random(seed) % (len - at) + 1;

		switch (unit_random(seed) % 5)
		{
			case 0:
				data[at] = c;
				break;
			case 1:
				data[at] = (char) (data[at] ^ (1 << unit_random(seed) % 8));
				break;
			case 2:
				memmove(data + at, data + at + 1, len - at - 1);
				len--;
				break;
			case 3:
				if (len == capacity)
					break;
				memmove(data + at + 1, data + at, len - at);
				data[at] = c;
				len++;
				break;
			default:
				/* double a run: repeated lines come from here */
				if (len + run > capacity)
					break;
				memmove(data + at + run, data + at, len - at);
				len += run;
		}
	}
	return len;
}

/* Checks that the verdict does not depend on how the bytes arrived. */
static void
check_consistent_head(const char *data, size_t len, uint64_t *seed)
{
	static WbHttpHead head;
	char *copy = guarded(data, len);
	int whole = wb_http_parse_head(copy, len, 0, &head);
	int result = WB_HTTP_INCOMPLETE;
	size_t seen = 0;

	if (whole > 0)
		check_accepted(copy, (size_t) whole, &head);
	while (seen < len && result == WB_HTTP_INCOMPLETE)
	{
		size_t next = seen + unit_random(seed) % (unit_random(seed) % 2 ? 4 : 100) + 1;

		next = next < len ? next : len;
		result = wb_http_parse_head(copy, next, seen, &head);
		seen = next;
	}
	CHECK_INT(result, whole);
	guarded_free(copy);
}

static void
test_mutated_heads(void)
{
	uint64_t seed = UINT64_C(0x9e3779b97f4a7c15);

	for (int round = 0; round < 60000; round++)
	{
		const ValidHead *sample = &valid_heads[unit_random(&seed) % LENGTHOF(valid_heads)];
		char data[1024];
		size_t len;

		unit_case("round %d", round);
		memcpy(data, sample->data, sample->len);
		len = mutate(data, sample->len, sizeof(data), &seed);
		check_consistent_head(data, len, &seed);
	}
}

static void
test_mutated_chunks(void)
{
	uint64_t seed = UINT64_C(0xd1b54a32d192ed03);

	for (int round = 0; round < 5000; round++)
	{
		const ValidChunks *sample = &valid_chunks[unit_random(&seed) % LENGTHOF(valid_chunks)];
		char data[256];
		char collected[3][512];
		size_t body_len[3];
		ptrdiff_t result[3];
		Feed feed = {data, 0, 0};

		memcpy(data, sample->data, sample->len);
		feed.len = mutate(data, sample->len, sizeof(data), &seed);
		if (feed.len == 0)
			continue;
		unit_case("round %d", round);
		result[0] = decode(&feed, collected[0], &body_len[0]);
		feed.split = feed.len;
		result[1] = decode(&feed, collected[1], &body_len[1]);
		feed.split = unit_random(&seed) % feed.len + 1;
		result[2] = decode(&feed, collected[2], &body_len[2]);
		for (int i = 1; i < 3; i++)
		{
			size_t rest = result[0] > 0 ? (size_t) result[0] : 0;

			CHECK_INT(result[i], result[0]);
			CHECK_BYTES(collected[i], body_len[i] + rest, collected[0], body_len[0] + rest);
		}
	}
}

int
main(void)
{
	RUN(test_valid_heads);
	RUN(test_valid_heads_in_pieces);
	RUN(test_malformed_heads);
	RUN(test_malformed_heads_late);
	RUN(test_refused_at_once_when_late);
	RUN(test_every_byte_everywhere);
	RUN(test_header_slices);
	RUN(test_long_targets);
	RUN(test_header_count);
	RUN(test_valid_chunks);
	RUN(test_malformed_chunks);
	RUN(test_announced_chunks);
	RUN(test_chunks_after_the_end);
	RUN(test_chunk_size_limit);
	RUN(test_chunk_limits);
	RUN(test_mutated_heads);
	RUN(test_mutated_chunks);
	return unit_finish();
}
