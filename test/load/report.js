'use strict';

// report(tally, then): prints a line "NAME N NAME N..." and calls "then" when it
// has been written.  Who ends at once instead may lose it: whoever reads may wait for
// other things and let the pipe fill.

module.exports = (tally, then) => {
    process.stdout.write(Object.entries(tally).flat().join(' ') + '\n', then);
};
