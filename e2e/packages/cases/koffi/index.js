const koffi = require('koffi');
const libc = koffi.load('libc.so.6');
module.exports = async () => {
  const strlen = libc.func('size_t strlen(const char *s)'), abs = libc.func('int abs(int n)'), snprintf = libc.func('int snprintf(_Out_ char *buf, size_t n, const char *format, ...)');
  const buf = Buffer.alloc(32);
  const n = snprintf(buf, 32, 'n=%d s=%s', 'int', 42, 'str', 'x');
  return { strlen: strlen('héll'), abs: abs(-7), sprintf: buf.toString('utf8', 0, n) };
};
