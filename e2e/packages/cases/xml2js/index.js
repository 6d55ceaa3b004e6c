const { parseStringPromise, Builder } = require('xml2js');
module.exports = async () => ({
  parsed: await parseStringPromise('<order id="7"><item>a</item><item><![CDATA[b]]></item></order>'),
  built: new Builder({ headless: true, renderOpts: { pretty: false } }).buildObject({ r: { a: { $: { x: 1 }, _: 't' } } }),
});
