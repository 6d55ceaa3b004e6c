require('reflect-metadata');
const { Module, Controller, Get, Param, Injectable, ParseIntPipe } = require('@nestjs/common');
const { NestFactory } = require('@nestjs/core');
const decorate = (ds, target, key) => ds.reduceRight((_, d) => (key ? d(target, key, Object.getOwnPropertyDescriptor(target, key)) : d(target)), undefined);
class Cats { find(id) { return { cat: id, from: 'service' }; } }
decorate([Injectable()], Cats);
class CatsController {
  constructor(cats) { this.cats = cats; }
  one(id) { return this.cats.find(id); }
}
Reflect.defineMetadata('design:paramtypes', [Cats], CatsController);
decorate([Controller('cats')], CatsController);
decorate([Get(':id')], CatsController.prototype, 'one');
Param('id', ParseIntPipe)(CatsController.prototype, 'one', 0);
class App {}
decorate([Module({ controllers: [CatsController], providers: [Cats] })], App);
module.exports = NestFactory.create(App, { logger: false }).then(async app => { await app.init(); return app.getHttpAdapter().getInstance(); });
