require('@shopify/shopify-api/adapters/node');
const { shopifyApi, ApiVersion } = require('@shopify/shopify-api');
const shopify = shopifyApi({ apiKey: 'k', apiSecretKey: 'hush', scopes: ['a'], hostName: 'h.example', apiVersion: ApiVersion.January25, isEmbeddedApp: true, logger: { log() {} } });
module.exports = async ctx => {
  const check = body => shopify.webhooks.validate({ rawBody: body, rawRequest: { method: 'POST', url: '/', headers: ctx.headers }, rawResponse: {} });
  const ok = await check(String(ctx.rawBody)), bad = await check('{"id":2}');
  return { ok: [ok.valid, ok.topic, ok.domain], forged: [bad.valid, bad.reason], shop: [shopify.utils.sanitizeShop('a.evil.example'), shopify.utils.sanitizeShop('a.myshopify.com')] };
};
