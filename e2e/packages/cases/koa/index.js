const Koa = require('koa');
const Router = require('@koa/router');
const app = new Koa();
const router = new Router();
router.post('/hi/:name', ctx => { ctx.state.order.push('route'); ctx.body = { name: ctx.params.name, n: ctx.request.body.n, order: ctx.state.order }; });
app.use(async (ctx, next) => { ctx.state.order = ['in']; await next(); });
app.use(require('koa-bodyparser')()).use(router.routes());
module.exports = app;
