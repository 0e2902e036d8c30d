package main

func feeder() {}
