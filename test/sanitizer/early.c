/*-------------------------------------------------------------------------
 *
 * early.c
 *	  Makes the address sanitizer begin before anything else does.
 *
 * A program that was not built with the sanitizer, as the server is not, has
 * its runtime preloaded, which begins at the first malloc().  In a server with
 * Debian's libraries that is within bindtextdomain(), called by the constructor
 * of libgpg-error: glibc holds its lock of translations there, and the runtime
 * asks dlerror() for a text, which takes and gives back the same lock; the next
 * who wants it, main(), waits for ever.  The linker's flag "initfirst" has this
 * constructor run before all others.
 *
 * Preloaded by script/test asan.
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>

__attribute__((constructor)) static void
begin(void)
{
	void *volatile block = malloc(1);

	free(block);
}
