# Addresses of 0.1.0: consumers were two modules, consumer_task and consumer_service.

moved {
  from = module.consumer_task
  to   = module.consumer
}

# A move into a module of each cell needs the cell's key; modules/consumer says where it goes from there.

moved {
  from = module.consumer_service["0"]
  to   = module.consumer["0"].module.consumer_service
}

moved {
  from = module.consumer_service["1"]
  to   = module.consumer["1"].module.consumer_service
}

moved {
  from = module.consumer_service["2"]
  to   = module.consumer["2"].module.consumer_service
}

moved {
  from = module.consumer_service["3"]
  to   = module.consumer["3"].module.consumer_service
}

moved {
  from = module.consumer_service["4"]
  to   = module.consumer["4"].module.consumer_service
}

moved {
  from = module.consumer_service["5"]
  to   = module.consumer["5"].module.consumer_service
}

moved {
  from = module.consumer_service["6"]
  to   = module.consumer["6"].module.consumer_service
}

moved {
  from = module.consumer_service["7"]
  to   = module.consumer["7"].module.consumer_service
}

moved {
  from = module.consumer_service["8"]
  to   = module.consumer["8"].module.consumer_service
}

moved {
  from = module.consumer_service["9"]
  to   = module.consumer["9"].module.consumer_service
}
