const { parse } = require('csv-parse/sync');
module.exports = async () => parse('id;text\n1;"a ""q"", b"\n\n2;"x\ny"\n', { columns: true, delimiter: ';', skip_empty_lines: true, cast: (v, c) => (c.column === 'id' && !c.header ? +v : v) });
