const dns = require('dns-packet');
module.exports = async () => ({
  hex: dns.encode({ type: 'query', id: 1, flags: dns.RECURSION_DESIRED, questions: [{ type: 'A', name: 'example.com' }] }).toString('hex'),
  answer: dns.decode(Buffer.from('000181800001000100000000076578616d706c6503636f6d0000010001c00c000100010000003c00045db8d822', 'hex')).answers[0].data,
});
