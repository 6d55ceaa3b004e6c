require('reflect-metadata');
const { container, injectable, inject } = require('tsyringe');
class Voice { speak() { return 'meow'; } }
class Cat { constructor(voice) { this.voice = voice; } say() { return `cat says ${this.voice.speak()}`; } }
inject('Voice')(Cat, undefined, 0);
injectable()(Cat);
container.register('Voice', { useClass: Voice });
module.exports = async () => container.resolve(Cat).say();
